//! `GET /events`.

use engine::Event;
use futures_util::{StreamExt, stream};
use types::Error;
use wire::EventMessage;
use wire::event::EventActor;

use crate::call::Call;
use crate::reply::{self, Result};

/// `GET /events`
pub(crate) async fn events(call: Call) -> Result {
    let (since, until) = (call.query.event_time("since")?, call.query.event_time("until")?);
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        let (since, until) = (call.query.text("since"), call.query.text("until"));
        return Err(Error::invalid(format!("`since` time ({since}) cannot be after `until` time ({until})")));
    }
    let subscription = call.parts.events.subscribe(since, until, call.query.filters()?)?;
    let messages = stream::unfold(subscription, |mut subscription| async move {
        let event = subscription.next().await?;
        Some((message(&event), subscription))
    });
    Ok(reply::json_stream(messages.take_until(call.stopped())))
}

/// Containers and images are also named in the fields of API 1.21.
fn message(event: &Event) -> EventMessage {
    let has_old_fields = matches!(event.kind, "container" | "image");
    let old = |text: &str| if has_old_fields { text.to_owned() } else { String::new() };
    let image = event.attributes.get("image").filter(|_| event.kind == "container");
    EventMessage {
        status: old(&event.action),
        id: old(&event.actor_id),
        from: image.cloned().unwrap_or_default(),
        kind: event.kind.to_owned(),
        action: event.action.clone(),
        actor: EventActor { id: event.actor_id.clone(), attributes: event.attributes.clone() },
        scope: event.scope.to_owned(),
        time: event.time.seconds(),
        time_nano: event.time.0,
    }
}
