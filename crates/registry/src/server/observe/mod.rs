//! What the registry tells about itself: metrics, one line for each request, one for each change.

mod audit;
mod lines;
mod metrics;

pub(crate) use audit::Audit;
pub(crate) use lines::Lines;
pub(crate) use metrics::Metrics;

/// Now, as RFC 3339 has it.
pub(crate) fn now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
