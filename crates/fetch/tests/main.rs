//! The client against small servers on this machine, each scripted to misbehave in one way.

// A scripted server and a client for it.
#[cfg(test)]
mod server;
// What is logged, to look for secrets.
#[cfg(test)]
mod logs;

// Tokens of every kind of credential, refused tokens, missing rights.
#[cfg(test)]
mod access;
// Blobs: cut, changed, lying about their length, expired.
#[cfg(test)]
mod downloads;
// Submit, poll, manifest.
#[cfg(test)]
mod reports;
// Throttling, lost answers, limits.
#[cfg(test)]
mod retries;
// No secret in any error or debug output; no token to foreign hosts.
#[cfg(test)]
mod secrets;
