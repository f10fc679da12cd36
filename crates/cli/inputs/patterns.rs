//! Patterns of paths: `exports/*/2025*/**`, quoted on the command line, for folders and stores alike.
//!
//! | in a part | matches |
//! |---|---|
//! | `*` | any characters of one name |
//! | `?` | one character |
//! | `[ab]`, `[0-9]`, `[!a]` | one of them, one not of them |
//! | `**` as a whole part | any number of folders, none too |

use std::cmp::max;

use glob::{Pattern, PatternError};

/// A pattern, part by part, relative to a folder without wildcards.
#[derive(Debug)]
pub(super) struct PathPattern(Vec<Part>);

#[derive(Debug)]
enum Part {
    Name(Pattern),
    Folders,
}

/// How a path relates to a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    /// Neither it nor anything below it matches.
    No,
    /// It does not, something below it may.
    Above,
    /// It matches.
    Whole,
}

/// Whether a text may be a pattern.
pub(super) fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Splits a path at its first part with wildcards: the folder before, and the pattern below it.
///
/// # Errors
/// If a part is no pattern, such as `[a`.
pub(super) fn split(path: &str) -> Result<(&str, PathPattern), PatternError> {
    let mut at = 0;
    for part in path.split_inclusive('/') {
        if has_wildcards(part) {
            break;
        }
        at += part.len();
    }
    let (base, rest) = path.split_at(at);
    let parts = rest.split('/').filter(|part| !part.is_empty() && *part != ".").map(|part| {
        Ok(match part {
            "**" => Part::Folders,
            name => Part::Name(Pattern::new(name)?),
        })
    });
    Ok((base, PathPattern(parts.collect::<Result<_, PatternError>>()?)))
}

impl PathPattern {
    /// How a path, given by its names below the base, relates to the pattern.
    pub(super) fn matches(&self, names: &[&str]) -> Match {
        matches(&self.0, names)
    }
}

fn matches(parts: &[Part], names: &[&str]) -> Match {
    match (parts.split_first(), names.split_first()) {
        (None, None) => Match::Whole,
        (None, Some(_)) => Match::No,
        (Some((Part::Folders, rest)), None) => max(matches(rest, names), Match::Above),
        (Some((Part::Folders, rest)), Some((_, below))) => {
            max(matches(rest, names), matches(parts, below))
        }
        (Some((Part::Name(_), _)), None) => Match::Above,
        (Some((Part::Name(pattern), rest)), Some((name, below))) if pattern.matches(name) => {
            matches(rest, below)
        }
        (Some((Part::Name(_), _)), Some(_)) => Match::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: Match) {
        let (base, pattern) = split(pattern).unwrap();
        assert_eq!(base, "");
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        assert_eq!(pattern.matches(&names), expected, "{path}");
    }

    #[test]
    fn wildcards_stay_within_a_name() {
        check("*.csv", "a.csv", Match::Whole);
        check("*.csv", "a/b.csv", Match::No);
        check("*", "a", Match::Whole);
        check("*/b.csv", "a", Match::Above);
        check("a?c/[0-9]*", "abc/1x", Match::Whole);
        check("a?c/[!0-9]*", "abc/1x", Match::No);
    }

    #[test]
    fn two_stars_are_any_number_of_folders() {
        for path in ["b.csv", "x/b.csv", "x/y/b.csv"] {
            check("**/b.csv", path, Match::Whole);
        }
        check("**/b.csv", "x/y", Match::Above);
        check("a*/**/b.csv", "a1/x/y/b.csv", Match::Whole);
        check("a*/**/b.csv", "c/b.csv", Match::No);
        check("a*/**", "a1", Match::Whole);
        check("**/20*/**/*.csv", "x/2025/y/z/a.csv", Match::Whole);
    }

    #[test]
    fn the_part_before_the_first_wildcard_is_a_folder() {
        for (path, base) in
            [("/a/b/*.csv", "/a/b/"), ("a[1]/b", ""), ("a/b*/c/*", "a/"), ("/*", "/")]
        {
            assert_eq!(split(path).unwrap().0, base);
        }
        assert!(split("a/[b").is_err());
    }
}
