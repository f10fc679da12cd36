//! Throttling: so many submits and polls per scope and per tenant within a window, for each client type.
//!
//! Without a `ClientType` header a request belongs to the default client. A window begins with the first request in it.

use super::replies::{Refused, Reply, arm_error, with_header};
use super::request::Call;
use super::state::{Simulator, lock};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many requests are allowed.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Requests about one scope; `None` is without limit.
    pub entity: Option<u32>,
    /// Requests about all scopes; `None` is without limit.
    pub tenant: Option<u32>,
    /// How long a window is.
    pub window: Duration,
}

impl Default for Quota {
    /// No limits.
    fn default() -> Self {
        Self { entity: None, tenant: None, window: Duration::from_secs(60) }
    }
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Budget {
    Entity,
    Tenant,
}

impl Budget {
    /// Returns its name in headers.
    fn name(self) -> &'static str {
        match self {
            Self::Entity => "entity",
            Self::Tenant => "tenant",
        }
    }
}

/// The windows that have begun.
#[derive(Default)]
pub(super) struct Throttle {
    /// By budget, client type and scope; the scope is empty for the tenant.
    windows: HashMap<(Budget, String, String), Window>,
}

#[derive(Clone, Copy)]
struct Window {
    end: Instant,
    used: u32,
}

/// What is left of a budget after a request, or how long it takes until there is more.
struct Share {
    budget: Budget,
    left: Option<u32>,
    wait: Duration,
}

/// What the answer to an admitted request says about the rest of the quota.
pub(super) struct Remaining(Vec<(String, String)>);

impl Remaining {
    /// Adds it to the answer.
    pub(super) fn add_to(self, reply: Reply) -> Reply {
        self.0.iter().fold(reply, |reply, (name, value)| with_header(reply, name, value))
    }
}

/// Counts a request about a scope, or refuses it, which is not counted.
pub(super) fn admit(
    simulator: &Simulator,
    call: &Call,
    scope_path: &str,
) -> Result<Remaining, Refused> {
    let quota = &simulator.config.quota;
    let client = call.header("clienttype").unwrap_or_default();
    let scope = scope_path.trim_matches('/').to_ascii_lowercase();
    let limits =
        [(Budget::Entity, scope, quota.entity), (Budget::Tenant, String::new(), quota.tenant)];
    let mut throttle = lock(&simulator.throttle);
    let mut shares = Vec::new();
    let mut windows = Vec::new();
    for (budget, scope, limit) in limits {
        if let Some(limit) = limit {
            let key = (budget, client.to_owned(), scope);
            let window = throttle.window(&key, quota.window);
            shares.push(window.share(budget, limit));
            windows.push((key, window));
        }
    }
    if shares.iter().any(|share| share.left.is_none()) {
        return Err(Box::new(refusal(&shares)));
    }
    for (key, window) in windows {
        throttle.windows.insert(key, Window { used: window.used + 1, ..window });
    }
    Ok(Remaining(shares.iter().filter_map(Share::header).collect()))
}

impl Throttle {
    /// Returns the window that runs, or one that begins.
    fn window(&self, key: &(Budget, String, String), length: Duration) -> Window {
        let now = Instant::now();
        let running = self.windows.get(key).copied().filter(|window| window.end > now);
        running.unwrap_or(Window { end: now + length, used: 0 })
    }
}

impl Window {
    fn share(&self, budget: Budget, limit: u32) -> Share {
        let wait = self.end.saturating_duration_since(Instant::now());
        let left = limit.checked_sub(self.used + 1);
        Share { budget, left, wait }
    }
}

impl Share {
    fn header(&self) -> Option<(String, String)> {
        let name = self.budget.name();
        let header = format!("x-ms-ratelimit-remaining-microsoft.costmanagement-{name}-requests");
        self.left.map(|left| (header, format!("DefaultQuota:{left}")))
    }
}

fn refusal(shares: &[Share]) -> Reply {
    let reply = arm_error(429, "429", "Too many requests. Please retry.");
    shares.iter().filter(|share| share.left.is_none()).fold(reply, |reply, share| {
        let name = share.budget.name();
        let header = format!("x-ms-ratelimit-microsoft.costmanagement-{name}-retry-after");
        // Rounded up: whoever waits as long as told is admitted.
        let seconds = share.wait.as_millis().div_ceil(1000).max(1);
        with_header(reply, &header, &seconds.to_string())
    })
}
