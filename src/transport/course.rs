//! What an exchange is in both versions of HTTP: its limits, how it can end, and the times of what it hears.
//!
//! Knows neither's bytes.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Context;
use std::time::{Duration, Instant};

use http::header::{DATE, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::task::unconstrained;
use tokio::time::{Sleep, sleep_until};

use crate::transport::Limits;
use crate::transport::stamped::Shared;
use crate::turn::exchange::{End, Head};

/// How an exchange went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    /// Whoever heard wanted no more.
    pub(super) stopped: bool,
    /// Something of an answer came, if only of its head.
    pub(super) heard: bool,
}

/// What the parts of an exchange share while it lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) start: Instant,
    pub(super) limits: Limits,
    pub(super) ledger: &'a Shared,
}

impl Course<'_> {
    /// When the bytes at hand arrived, and when we had them, from the start.
    pub(super) fn times(&self) -> (Duration, Duration) {
        let latest = self.ledger.lock().latest;
        latest.map_or_else(
            || (self.start.elapsed(), self.start.elapsed()),
            |arrival| {
                (
                    arrival.at.saturating_duration_since(self.start),
                    arrival.read.saturating_duration_since(self.start),
                )
            },
        )
    }
}

/// The head of an answer. A recipient with a clock adds the date that is missing (RFC 9110, section 6.6.1); it takes one
/// only to read by when to ask again.
pub(super) fn head(status: u16, mut headers: Vec<(String, String)>, at: Duration) -> Head {
    let dated = headers.iter().any(|(name, _)| name == DATE.as_str());
    let by_date = |(name, value): &(String, String)| {
        name == RETRY_AFTER.as_str() && value.parse::<f64>().is_err()
    };
    if !dated
        && headers.iter().any(by_date)
        && let Ok(now) = OffsetDateTime::now_utc().format(&Rfc2822)
    {
        headers.push((DATE.as_str().to_owned(), now));
    }
    Head {
        status,
        headers,
        at,
    }
}

pin_project_lite::pin_project! {
    /// One alarm for both limits. It is set anew only when it rings: a read moves the idle limit on, and
    /// most alarms ring in vain once.
    pub(super) struct Watch {
        #[pin]
        alarm: Sleep,
        set: bool,
        begun: Instant,
    }
}

impl Watch {
    pub(super) fn new(course: &Course<'_>) -> Watch {
        let begun = Instant::now();
        let first = (begun + course.limits.idle).min(course.start + course.limits.total);
        Watch {
            alarm: sleep_until(first.into()),
            set: false,
            begun,
        }
    }

    /// Whether a limit is over. `moved`: something has just come, and that is nearer than any limit; `heard`: when the
    /// last bytes did.
    pub(super) fn check(
        self: Pin<&mut Watch>,
        cx: &mut Context<'_>,
        course: &Course<'_>,
        moved: bool,
        heard: impl Fn() -> Option<Instant>,
        answered: bool,
    ) -> Option<Outcome> {
        let mut this = self.project();
        // The alarm stays set, unless it has rung.
        if moved && *this.set && !this.alarm.is_elapsed() {
            return None;
        }
        *this.set = true;
        // Whatever else the task has done in its turn: without its budget the alarm would neither be looked at nor set.
        while pin!(unconstrained(this.alarm.as_mut())).poll(cx).is_ready() {
            let since = heard().map_or(*this.begun, |read| read.max(*this.begun));
            let idle = since + course.limits.idle;
            let total = course.start + course.limits.total;
            let now = Instant::now();
            let end = if now >= total {
                End::TooLong {
                    after: course.limits.total,
                }
            } else if now < idle {
                this.alarm.as_mut().reset(idle.min(total).into());
                continue;
            } else if answered {
                End::Stalled {
                    after: course.limits.idle,
                }
            } else {
                End::NoHead {
                    after: course.limits.idle,
                }
            };
            return Some(Outcome {
                end,
                stopped: false,
                heard: answered,
            });
        }
        None
    }
}
