//! Pages for people: repositories, tags, layers, platforms, how to pull. Plain HTML without scripts; every text from
//! outside goes through `escape`.

use std::fmt::Write;
use std::sync::OnceLock;

use base64::Engine;
use http::header;

use super::discovery::html;
use super::{Answer, Call};
use crate::server::content::Stored;
use crate::server::digest::Digest;
use crate::server::error::{Code, Fault};
use crate::server::route::Reference;
use crate::server::{Server, layout};

/// Repositories on the front page, tags on a repository's.
const ROWS_MAX: usize = 500;
const CONFIG_BYTES_MAX: u64 = 1 << 20;
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}\
a{color:#0b5cad}h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #dde2ea;vertical-align:top}\
code{font:13px ui-monospace,monospace;background:#f2f4f8;padding:.1rem .3rem;border-radius:3px;overflow-wrap:anywhere}td.number{text-align:right;white-space:nowrap}small{color:#5a6474}\
@media(prefers-color-scheme:dark){body{color:#e3e7ee;background:#14181f}a{color:#6db3ff}code{background:#222935}th,td{border-color:#2e3644}small{color:#98a2b3}}";

/// The digest that the content security policy allows.
pub(super) fn style_digest() -> &'static str {
    static DIGEST: OnceLock<String> = OnceLock::new();
    DIGEST.get_or_init(|| {
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        base64::engine::general_purpose::STANDARD.encode(sum)
    })
}

/// Text as HTML has it, also within quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(title)
    )
}

/// Sizes as Docker shows them: three digits, thousands.
fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {}", units.get(unit).unwrap_or(&""))
}

/// `/`: the repositories that the visitor may pull from, and a search.
pub(super) async fn front(server: &Server, call: &Call) -> Answer {
    let query = call.query.get("q").unwrap_or_default();
    let all = server.repositories().await?;
    let shown: Vec<&String> =
        all.iter().filter(|name| call.identity.sees(name) && name.contains(query)).collect();
    let mut body = format!(
        "<h1>Registry</h1><form action=\"/\"><input name=\"q\" value=\"{}\" aria-label=\"Search\"> <button>Search</button></form>",
        escape(query)
    );
    let _infallible = write!(body, "<p><small>{} repositories</small></p><table>", shown.len());
    for name in shown.iter().take(ROWS_MAX) {
        let name = escape(name);
        let _infallible = write!(body, "<tr><td><a href=\"/web/{name}\">{name}</a></td></tr>");
    }
    body.push_str("</table>");
    if shown.len() > ROWS_MAX {
        let _infallible = write!(body, "<p>The first {ROWS_MAX} are shown: search for others.</p>");
    }
    Ok(html(page("Registry", &body)))
}

/// `/web/NAME`: its tags, what each is and holds, and how to pull it. `?tag=` shows one with its layers.
pub(super) async fn repository(server: &Server, call: &Call, name: &str) -> Answer {
    if !server.content.has_repository(name).await? {
        return Err(Fault::new(Code::NameUnknown, "repository name not known to registry").with_detail(name));
    }
    let tags = server.content.tags(name).await?;
    let one = call.query.get("tag").filter(|tag| tags.iter().any(|known| known == tag));
    let host = call.header(header::HOST).unwrap_or("localhost");
    let escaped = escape(name);
    let mut body = format!("<p><a href=\"/\">All repositories</a></p><h1>{escaped}</h1>");
    if let Some(tag) = one {
        show_tag(server, &mut body, host, name, tag).await?;
        return Ok(html(page(&format!("{name}:{tag}"), &body)));
    }
    body.push_str("<table><tr><th>Tag</th><th>Digest</th><th>Platforms</th><th>Size</th></tr>");
    for tag in tags.iter().take(ROWS_MAX) {
        let reference = Reference::Tag(tag.clone());
        let Ok(stored) = server.content.manifest(name, &reference).await else { continue };
        let (platforms, bytes) = summary(server, &stored).await?;
        let tag = escape(tag);
        let _infallible = write!(
            body,
            "<tr><td><a href=\"/web/{escaped}?tag={tag}\">{tag}</a></td><td><code>{}</code></td><td>{}</td><td class=\"number\">{}</td></tr>",
            stored.digest.as_str().get(..19).unwrap_or_default(),
            escape(&platforms.join(", ")),
            size(bytes)
        );
    }
    body.push_str("</table>");
    Ok(html(page(name, &body)))
}

async fn show_tag(
    server: &Server,
    body: &mut String,
    host: &str,
    name: &str,
    tag: &str,
) -> Result<(), Fault> {
    let stored = server.content.manifest(name, &Reference::Tag(tag.to_owned())).await?;
    let pull = escape(&format!("docker pull {host}/{name}:{tag}"));
    let _infallible = write!(
        body,
        "<h2>{}</h2><p><code>{pull}</code></p><p><small>{}</small><br><code>{}</code></p>",
        escape(tag),
        escape(&stored.media_type),
        stored.digest
    );
    let Some(manifest) = &stored.manifest else { return Ok(()) };
    if !manifest.is_index() {
        return show_layers(server, body, &stored).await;
    }
    for entry in manifest.manifests.iter().take(ROWS_MAX) {
        let platform = entry.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        let _infallible =
            write!(body, "<h3>{}</h3><p><code>{}</code></p>", escape(&platform), escape(&entry.digest));
        let Some(digest) = Digest::parse(&entry.digest) else { continue };
        if let Some(image) = server.content.stored(&digest).await? {
            show_layers(server, body, &image).await?;
        }
    }
    Ok(())
}

async fn show_layers(server: &Server, body: &mut String, stored: &Stored) -> Result<(), Fault> {
    let Some(manifest) = &stored.manifest else { return Ok(()) };
    let (platforms, bytes) = summary(server, stored).await?;
    let _infallible = write!(
        body,
        "<p><small>{} {}</small></p><table><tr><th>Layer</th><th>Type</th><th>Size</th></tr>",
        escape(&platforms.join(", ")),
        size(bytes)
    );
    for layer in manifest.layers.iter().take(ROWS_MAX) {
        let kind = layer.media_type.rsplit('.').next().unwrap_or_default();
        let digest = escape(layer.digest.get(..19).unwrap_or(&layer.digest));
        let _infallible = write!(
            body,
            "<tr><td><code>{digest}</code></td><td>{}</td><td class=\"number\">{}</td></tr>",
            escape(kind),
            size(layer.size)
        );
    }
    body.push_str("</table>");
    Ok(())
}

/// For which platforms a manifest is, and how many bytes a pull of it takes (of all entries, for an index).
async fn summary(server: &Server, stored: &Stored) -> Result<(Vec<String>, u64), Fault> {
    let Some(manifest) = &stored.manifest else { return Ok((Vec::new(), 0)) };
    if !manifest.is_index() {
        let parts = manifest.config.iter().chain(&manifest.layers);
        let bytes = parts.fold(0_u64, |sum, part| sum.saturating_add(part.size));
        let platform = match &manifest.config {
            Some(config) if config.size <= CONFIG_BYTES_MAX => platform_of(server, &config.digest).await,
            _ => None,
        };
        return Ok((platform.into_iter().collect(), bytes));
    }
    let mut platforms = Vec::new();
    let mut bytes = 0_u64;
    for entry in manifest.manifests.iter().take(ROWS_MAX) {
        platforms.extend(entry.platform.as_ref().map(ToString::to_string));
        let Some(digest) = Digest::parse(&entry.digest) else { continue };
        let image = server.content.stored(&digest).await?;
        if let Some(image) = image.as_ref().and_then(|image| image.manifest.as_ref()) {
            bytes = image
                .config
                .iter()
                .chain(&image.layers)
                .fold(bytes, |sum, part| sum.saturating_add(part.size));
        }
    }
    Ok((platforms, bytes))
}

/// What an image's configuration says it is for.
async fn platform_of(server: &Server, config: &str) -> Option<String> {
    let digest = Digest::parse(config)?;
    let bytes = server.content.storage.read(&layout::blob(&digest), CONFIG_BYTES_MAX).await.ok()?;
    let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (os, architecture, variant) = (text("os"), text("architecture"), text("variant"));
    if os.is_empty() {
        return None;
    }
    Some(if variant.is_empty() {
        format!("{os}/{architecture}")
    } else {
        format!("{os}/{architecture}/{variant}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_become_markup() {
        assert_eq!(escape("<a href='x' b=\"y\">&"), "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;");
        assert_eq!(
            (size(999), size(1_500), size(12_345_678)),
            ("999 B".into(), "1.50 kB".into(), "12.3 MB".into())
        );
    }
}
