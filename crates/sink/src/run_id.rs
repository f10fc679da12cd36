//! Names of runs.

use std::fmt;
use std::str::FromStr;

/// The name of a run: ASCII letters, digits and dashes, at most 64, so that it can name a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

/// A text that cannot name a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` cannot name a run: expected 1 to 64 ASCII letters, digits and dashes")]
pub struct ParseRunIdError {
    found: String,
}

impl RunId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sound = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseRunIdError { found: text.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_safe_in_paths_are_read() {
        assert_eq!("run-1A".parse::<RunId>().unwrap().as_str(), "run-1A");
        for text in ["", ".", "..", "a/b", "a b", "a_b", "ä", &"a".repeat(65)] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
