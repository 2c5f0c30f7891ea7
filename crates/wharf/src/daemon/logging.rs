//! The daemon's own log, on standard error.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use super::values::{ConfigError, Values};

/// Changes the level while the daemon runs.
pub(crate) struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// Sets the level that `values` ask for.
    pub(crate) fn set(&self, values: &Values) -> Result<(), ConfigError> {
        let wanted = level(values)?;
        // The only error is a subscriber that is gone, and it lives as long as the process.
        let _ = self.0.modify(|filter| *filter = wanted);
        Ok(())
    }
}

/// Starts logging with the level and format that `values` ask for.
pub(crate) fn start(values: &Values) -> Result<Level, ConfigError> {
    let (filter, handle) = reload::Layer::new(level(values)?);
    let is_json = match values.text("log-format").unwrap_or("text") {
        "" | "text" => false,
        "json" => true,
        other => {
            return Err(ConfigError::Invalid {
                name: "log-format".to_owned(),
                why: format!("invalid log format: {other}"),
            });
        }
    };
    let is_plain = values.flag("raw-logs").unwrap_or(false) || !io::IsTerminal::is_terminal(&io::stderr());
    let registry = tracing_subscriber::registry().with(filter);
    // A second start happens in tests only, and changes nothing.
    let _ = if is_json {
        registry.with(fmt::layer().json().with_writer(io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_ansi(!is_plain).with_target(false).with_writer(io::stderr)).try_init()
    };
    Ok(Level(handle))
}

fn level(values: &Values) -> Result<LevelFilter, ConfigError> {
    if values.flag("debug") == Some(true) {
        return Ok(LevelFilter::DEBUG);
    }
    Ok(match values.text("log-level").unwrap_or("info") {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "" | "info" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "fatal" | "panic" => LevelFilter::ERROR,
        other => {
            return Err(ConfigError::Invalid {
                name: "log-level".to_owned(),
                why: format!("invalid logging level: {other}"),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::values::from_flags;
    use super::*;

    #[test]
    fn levels_have_dockers_names() {
        let of = |line: &str| {
            let args: Vec<_> = line.split_whitespace().map(Into::into).collect();
            level(&from_flags(&args).unwrap()).map_err(|e| e.to_string())
        };
        assert_eq!(of(""), Ok(LevelFilter::INFO));
        assert_eq!(of("-l fatal"), Ok(LevelFilter::ERROR));
        assert_eq!(of("-D -l warn"), Ok(LevelFilter::DEBUG));
        assert_eq!(of("-l loud"), Err("log-level: invalid logging level: loud".to_owned()));
    }
}
