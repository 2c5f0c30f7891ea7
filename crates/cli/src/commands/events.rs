//! `docker events`.

use serde_json::{Value as Json, json};
use time::OffsetDateTime;
use wire::client::{Payload, Query};

use super::string_map;
use crate::context::Context;
use crate::flags::Parsed;
use crate::format::units;
use crate::opts::filter::Filters;
use crate::opts::time::timestamp;
use crate::template::{Functions, Template, Value};
use crate::{Failure, Outcome, print};

/// `docker events`.
pub(crate) fn run(context: &Context, parsed: &Parsed) -> Outcome {
    let template = match parsed.text("format") {
        "" => None,
        format => Some(template(if format == "json" { "{{json .}}" } else { format })?),
    };
    let moment = |flag: &str| match parsed.text(flag) {
        "" => Ok(String::new()),
        text => timestamp(text, OffsetDateTime::now_utc()).map_err(Failure::new),
    };
    let query = Query::new()
        .text("since", &moment("since")?)
        .text("until", &moment("until")?)
        .text("filters", &Filters::parse(&parsed.list("filter")).to_query());
    let answer = context.client()?.send("GET", "/events", &query, &[], Payload::Empty)?;
    for event in serde_json::Deserializer::from_reader(std::io::BufReader::new(answer)).into_iter::<Json>() {
        let event = event.map_err(|error| Failure::new(error.to_string()))?;
        let line = match &template {
            None => plain(&event),
            Some(template) => template
                .execute(&value(&event, template.is_whole()), Functions::Data)
                .map_err(|error| Failure::new(error.to_string()))?,
        };
        print(&format!("{line}\n"));
    }
    Ok(())
}

/// Reads a format and tries it on an empty event, so that a wrong one fails at once.
fn template(text: &str) -> Result<Template, Failure> {
    let template = Template::parse(text)
        .and_then(|template| template.execute(&value(&Json::Null, false), Functions::Data).map(|_| template));
    template.map_err(|error| Failure { message: format!("Error parsing format: {error}"), code: 64 })
}

/// An event with all the fields that Docker's type has; unless it is shown whole, also the old ones that repeat others.
fn value(event: &Json, whole: bool) -> Value {
    let mut all = event.clone();
    if event.is_null() {
        all = json!({});
    }
    for (key, default) in [
        ("Type", json!("")),
        ("Action", json!("")),
        ("Actor", json!({ "ID": "", "Attributes": {} })),
        ("scope", json!("")),
        ("time", json!(0)),
        ("timeNano", json!(0)),
    ] {
        if all.get(key).is_none() {
            all[key] = default;
        }
    }
    let repeated = [
        ("status", all["Action"].clone()),
        ("id", all["Actor"]["ID"].clone()),
        ("from", all["Actor"]["Attributes"]["image"].clone()),
    ];
    for (key, value) in repeated.into_iter().filter(|_| !whole) {
        if all.get(key).is_none() {
            all[key] = json!(value.as_str().unwrap_or_default());
        }
    }
    Value::from_json(&all).typed("*events.Message")
}

/// `2023-11-14T22:13:20.000000000Z container start ID (name=x)`.
fn plain(event: &Json) -> String {
    let nanoseconds = event["timeNano"].as_i64().filter(|time| *time != 0);
    let nanoseconds = nanoseconds.or_else(|| event["time"].as_i64()?.checked_mul(1_000_000_000));
    let when =
        nanoseconds.filter(|time| *time != 0).map(|time| format!("{} ", fixed(time))).unwrap_or_default();
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let actor = &event["Actor"];
    let mut line =
        format!("{when}{} {} {}", text(&event["Type"]), text(&event["Action"]), text(&actor["ID"]));
    let attributes: Vec<String> =
        string_map(&actor["Attributes"]).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !attributes.is_empty() {
        line.push_str(&format!(" ({})", attributes.join(", ")));
    }
    line
}

/// RFC 3339 with nine decimals, in local time.
fn fixed(nanoseconds: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into()) else {
        return String::new();
    };
    let moment = units::to_local(moment);
    let (hour, minute, second) = moment.to_hms();
    let (offset_hours, offset_minutes, _) = moment.offset().as_hms();
    let zone = match moment.offset().is_utc() {
        true => "Z".to_owned(),
        false => {
            let sign = if moment.offset().is_negative() { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", offset_hours.abs(), offset_minutes.abs())
        }
    };
    format!("{}T{hour:02}:{minute:02}:{second:02}.{:09}{zone}", moment.date(), moment.nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_shown_as_docker_shows_them() {
        let event = json!({"Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":{"name":"x","image":"i"}},"time":1});
        assert!(
            plain(&event).ends_with(".000000000Z container start abc (image=i, name=x)")
                || !plain(&event).contains('Z')
        );
        assert_eq!(
            template("{{.Foo}}").unwrap_err().message,
            "Error parsing format: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *events.Message"
        );
        assert!(template("{{.Type}} {{.Action}} {{.Actor.Attributes.name}}").is_ok());
    }
}
