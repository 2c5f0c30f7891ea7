//! `docker stats`.

use std::io::BufReader;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use wire::client::{Client, Payload, Query, path_escape};

use crate::context::Context;
use crate::flags::Parsed;
use crate::format::table::Table;
use crate::format::text::short_id;
use crate::format::units::{bytes_size, human_size_with};
use crate::template::Value;
use crate::{Failure, Outcome, print};

const STATS_ROW: &str = "*container.statsContext";
const STATS_TABLE: &str = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
const NO_VALUE: &str = "--";
/// Between two pictures of a running display.
const REFRESH: Duration = Duration::from_millis(500);

/// One container in the display, with the last figures that came.
struct Watched {
    name: String,
    figures: Mutex<Option<Json>>,
    /// Why there are none.
    error: Mutex<Option<String>>,
    ended: Mutex<bool>,
}

/// `docker stats`.
pub(crate) fn stats(context: &Context, parsed: &Parsed) -> Outcome {
    let client = context.client()?;
    let stream = !parsed.on("no-stream");
    let mut names = parsed.args.clone();
    if names.is_empty() {
        let all = client.get("/containers/json", &Query::new().flag("all", parsed.on("all")))?;
        let ids = all.as_array().into_iter().flatten().filter_map(|container| container["Id"].as_str());
        names = ids.map(str::to_owned).collect();
    }
    let watched: Vec<Arc<Watched>> = names
        .into_iter()
        .map(|name| {
            Arc::new(Watched {
                name,
                figures: Mutex::new(None),
                error: Mutex::new(None),
                ended: Mutex::new(false),
            })
        })
        .collect();
    // Agreed on once, not by each thread; without a daemon each container says so.
    let _ = client.version();
    let (first, all_first) = mpsc::channel();
    for entry in &watched {
        let (client, entry, first) = (Arc::clone(client), Arc::clone(entry), first.clone());
        thread::spawn(move || collect(&client, &entry, stream, &first));
    }
    drop(first);
    // Each thread reports once, with its first figures or when it fails.
    for _ in &watched {
        let _ = all_first.recv();
    }
    let mine = &context.config().stats_format;
    let format = match parsed.text("format") {
        "" if !mine.is_empty() => mine,
        "" | "table" => STATS_TABLE,
        format => format,
    };
    let trunc = !parsed.on("no-trunc");
    let headings = vec![
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("ID", "CONTAINER ID"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ];
    let table = Table { format, headings };
    let errors =
        watched.iter().filter_map(|entry| entry.error.lock().unwrap_or_else(PoisonError::into_inner).clone());
    Failure::join(errors.collect())?;
    loop {
        let shown: Vec<&Arc<Watched>> = watched
            .iter()
            .filter(|entry| !*entry.ended.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        let rows: Vec<Value> = shown.iter().map(|entry| stats_row(entry, trunc)).collect();
        let text = table.render(&rows)?;
        if !stream {
            print(&text);
            return Ok(());
        }
        // Home, each line cleared to its end, and everything below it.
        print(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")));
        if shown.is_empty() {
            return Ok(());
        }
        thread::sleep(REFRESH);
    }
}

fn collect(client: &Client, entry: &Watched, stream: bool, first: &mpsc::Sender<()>) {
    let query = Query::new().with("stream", if stream { "1" } else { "0" });
    let path = format!("/containers/{}/stats", path_escape(&entry.name));
    match client.send("GET", &path, &query, &[], Payload::Empty) {
        Err(error) => {
            *entry.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
        Ok(answer) => {
            for figures in serde_json::Deserializer::from_reader(BufReader::new(answer)).into_iter::<Json>() {
                let Ok(figures) = figures else { break };
                *entry.figures.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
                // Nobody listens any more after the first.
                let _ = first.send(());
            }
        }
    }
    *entry.ended.lock().unwrap_or_else(PoisonError::into_inner) = stream;
    let _ = first.send(());
}

fn stats_row(entry: &Watched, trunc: bool) -> Value {
    let figures = entry.figures.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(figures) = figures else {
        let id = if trunc { short_id(&entry.name) } else { &entry.name };
        let mut columns = vec![("Container", entry.name.clone()), ("ID", id.to_owned())];
        columns.extend(
            ["Name", "CPUPerc", "MemPerc", "NetIO", "BlockIO", "PIDs"]
                .map(|name| (name, NO_VALUE.to_owned())),
        );
        columns.push(("MemUsage", "-- / --".to_owned()));
        return Value::row(STATS_ROW, columns);
    };
    let figure = |pointer: &str| figures.pointer(pointer).and_then(Json::as_f64).unwrap_or(0.0);
    let cpu = figure("/cpu_stats/cpu_usage/total_usage") - figure("/precpu_stats/cpu_usage/total_usage");
    let system = figure("/cpu_stats/system_cpu_usage") - figure("/precpu_stats/system_cpu_usage");
    let cpus = match figure("/cpu_stats/online_cpus") {
        online if online > 0.0 => online,
        _ => figures["cpu_stats"]["cpu_usage"]["percpu_usage"].as_array().map_or(0.0, |all| all.len() as f64),
    };
    let cpu = if system > 0.0 && cpu > 0.0 { cpu / system * cpus * 100.0 } else { 0.0 };
    let usage = figure("/memory_stats/usage");
    let stat = |name: &str| figures["memory_stats"]["stats"][name].as_f64();
    let cache =
        stat("total_inactive_file").filter(|cache| *cache < usage).or(stat("inactive_file")).unwrap_or(0.0);
    let memory = if cache < usage { usage - cache } else { usage };
    let limit = figure("/memory_stats/limit");
    let percent = if limit > 0.0 { memory / limit * 100.0 } else { 0.0 };
    let networks = figures["networks"].as_object();
    let network = |key: &str| -> f64 {
        networks.into_iter().flatten().filter_map(|(_, counters)| counters[key].as_f64()).sum()
    };
    let blocks = figures["blkio_stats"]["io_service_bytes_recursive"].as_array();
    let block = |first: char| -> f64 {
        let is_wanted = |item: &&Json| {
            item["op"]
                .as_str()
                .and_then(|op| op.chars().next())
                .is_some_and(|c| c.eq_ignore_ascii_case(&first))
        };
        blocks.into_iter().flatten().filter(is_wanted).filter_map(|item| item["value"].as_f64()).sum()
    };
    let id = figures["id"].as_str().unwrap_or(&entry.name);
    let name = figures["name"].as_str().unwrap_or_default();
    let pair = |a: f64, b: f64| format!("{} / {}", human_size_with(a, 3), human_size_with(b, 3));
    Value::row(
        STATS_ROW,
        vec![
            ("Container", entry.name.clone()),
            ("Name", if name.len() > 1 { name[1..].to_owned() } else { NO_VALUE.to_owned() }),
            ("ID", if trunc { short_id(id).to_owned() } else { id.to_owned() }),
            ("CPUPerc", format!("{cpu:.2}%")),
            ("MemUsage", format!("{} / {}", bytes_size(memory), bytes_size(limit))),
            ("MemPerc", format!("{percent:.2}%")),
            ("NetIO", pair(network("rx_bytes"), network("tx_bytes"))),
            ("BlockIO", pair(block('r'), block('w'))),
            ("PIDs", (figure("/pids_stats/current") as u64).to_string()),
        ],
    )
}
