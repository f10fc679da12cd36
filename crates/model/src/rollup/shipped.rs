//! The definitions that come with the program.

use super::{Definition, Error};

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../../pipelines/rollups/", $name, ".toml")))),*]
    };
}

/// Name and text of every shipped definition, in the order in which they are built.
pub const SHIPPED: [(&str, &str); 9] = shipped![
    "department_month",
    "department_day",
    "department_service_month",
    "subscription_month",
    "charge_class_month",
    "department_class_month",
    "commitment_month",
    "commitment_department_month",
    "savings_month",
];

/// The text of a shipped definition.
pub(super) fn text(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}

impl Definition {
    /// Every shipped definition.
    ///
    /// # Errors
    /// None in practice: the texts are part of the program, and a test reads them.
    pub fn all_shipped() -> Result<Vec<Self>, Error> {
        SHIPPED.iter().map(|(_, text)| Self::parse(text)).collect()
    }

    /// The shipped definition with that name.
    ///
    /// # Errors
    /// [`Error::NotShipped`] if there is none.
    pub fn shipped(name: &str) -> Result<Self, Error> {
        Self::parse(text(name).ok_or_else(|| Error::NotShipped { found: name.to_owned() })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_definition_is_sound_and_named_like_its_file() {
        for ((name, _), definition) in SHIPPED.iter().zip(Definition::all_shipped().unwrap()) {
            assert_eq!(definition.name, *name);
            assert!(!definition.description.is_empty(), "{name}");
        }
        assert!(Definition::shipped("department_week").is_err());
    }
}
