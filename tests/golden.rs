//! Golden figures.
