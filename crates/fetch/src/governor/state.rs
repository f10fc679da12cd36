//! What outlives a run.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A budget that Azure has asked to leave alone for a while, as it is kept between runs.
///
/// Unknown fields are accepted, so that older programs read what newer ones wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    /// [`Config::tenant`](crate::Config::tenant).
    pub tenant: String,
    /// [`Config::client_type`](crate::Config::client_type).
    pub client_type: String,
    /// The scope path in lower case; `None` is the budget of the whole client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Until when nothing is sent, UTC by the server's clock, jitter included. RFC 3339 on disk.
    #[serde(with = "utc_text")]
    pub blocked_until: DateTime<Utc>,
    /// What Azure asked for, in seconds, before any cap.
    pub asked_seconds: u64,
}

mod utc_text {
    use chrono::{DateTime, Utc};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::journal;

    pub(super) fn serialize<S: Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&journal::time(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(from)?;
        journal::parse_time(&text).map_err(D::Error::custom)
    }
}
