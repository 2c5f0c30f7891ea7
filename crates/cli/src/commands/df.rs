//! `docker system df`.

use serde_json::Value as Json;
use types::ImageRef;
use wire::client::Query;

use super::{images, ps, volumes};
use crate::context::Context;
use crate::flags::Parsed;
use crate::format::table::{Table, template_of};
use crate::format::units::human_size;
use crate::template::{Functions, Value};
use crate::{Failure, Outcome, print};

const ROW: &str = "*formatter.diskUsageImagesContext";
const VERBOSE: &str = "*formatter.diskUsageContext";
const TABLE: &str = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const IMAGES: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
const CONTAINERS: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}";
const VOLUMES: &str = "table {{.Name}}\t{{.Links}}\t{{.Size}}";
const BUILD_CACHE: &str = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}";
const RAW_VOLUME: &str = "type: Volume\nname: {{.Name}}\ndriver: {{.Driver}}\n";

fn list<'a>(usage: &'a Json, key: &str) -> &'a [Json] {
    usage[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn number(object: &Json, key: &str) -> i64 {
    object[key].as_i64().unwrap_or(0)
}

/// `docker system df`.
pub(crate) fn df(context: &Context, parsed: &Parsed) -> Outcome {
    let usage = context.client()?.get("/system/df", &Query::new())?;
    match (parsed.on("verbose"), parsed.text("format")) {
        (true, "" | "table") => verbose_tables(&usage),
        (true, "raw") => verbose_raw(&usage),
        (true, format) => verbose_template(&usage, format),
        (false, "" | "table") => summary_table(&usage, TABLE),
        (false, format) => summary_table(&usage, format),
    }
}

fn summary_table(usage: &Json, format: &str) -> Outcome {
    let headings = vec![
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ];
    Table { format, headings }.print(&summary(usage))
}

fn usage_row(kind: &str, total: usize, active: usize, size: i64, reclaimable: i64, percent: bool) -> Value {
    let free = human_size(reclaimable as f64);
    let free = if percent && size > 0 { format!("{free} ({}%)", reclaimable * 100 / size) } else { free };
    Value::row(
        ROW,
        vec![
            ("Type", kind.to_owned()),
            ("TotalCount", total.to_string()),
            ("Active", active.to_string()),
            ("Size", human_size(size as f64)),
            ("Reclaimable", free),
        ],
    )
}

fn summary(usage: &Json) -> Vec<Value> {
    let images = list(usage, "Images");
    let layers = number(usage, "LayersSize");
    let used: i64 = images
        .iter()
        .filter(|image| {
            number(image, "Containers") != 0
                && number(image, "Size") != -1
                && number(image, "SharedSize") != -1
        })
        .map(|image| number(image, "Size") - number(image, "SharedSize"))
        .sum();
    let active_images = images.iter().filter(|image| number(image, "Containers") > 0).count();

    let containers = list(usage, "Containers");
    let is_active = |container: &&Json| {
        let state = container["State"].as_str().unwrap_or_default();
        ["running", "paused", "restarting"].iter().any(|active| state.contains(active))
    };
    let active: Vec<&Json> = containers.iter().filter(is_active).collect();
    let size: i64 = containers.iter().map(|container| number(container, "SizeRw")).sum();
    let busy: i64 = active.iter().map(|container| number(container, "SizeRw")).sum();

    let volumes = list(usage, "Volumes");
    let known =
        || volumes.iter().map(|volume| &volume["UsageData"]).filter(|data| number(data, "Size") != -1);
    let volume_size: i64 = known().map(|data| number(data, "Size")).sum();
    let unused: i64 =
        known().filter(|data| number(data, "RefCount") == 0).map(|data| number(data, "Size")).sum();
    let in_use = volumes.iter().filter(|volume| number(&volume["UsageData"], "RefCount") > 0).count();

    let cache = list(usage, "BuildCache");
    let own = |item: &&Json| item["Shared"] != true;
    let cache_size: i64 = cache.iter().filter(own).map(|item| number(item, "Size")).sum();
    let cache_busy: i64 =
        cache.iter().filter(own).filter(|item| item["InUse"] == true).map(|item| number(item, "Size")).sum();
    let cache_active = cache.iter().filter(|item| item["InUse"] == true).count();
    vec![
        usage_row("Images", images.len(), active_images, layers, layers - used, true),
        usage_row("Containers", containers.len(), active.len(), size, size - busy, true),
        usage_row("Local Volumes", volumes.len(), in_use, volume_size, unused, true),
        usage_row("Build Cache", cache.len(), cache_active, cache_size, cache_size - cache_busy, false),
    ]
}

/// The rows of the detailed form; ids as long as they are where `trunc` is off.
struct Details {
    images: Vec<Value>,
    containers: Vec<Value>,
    volumes: Vec<Value>,
}

impl Details {
    fn new(usage: &Json, trunc: bool) -> Self {
        let image = |image: &Json| {
            let first = image["RepoTags"][0].as_str().and_then(|text| text.parse::<ImageRef>().ok());
            let (repository, tag) = match &first {
                Some(reference) => (reference.familiar_repository(), reference.tag().unwrap_or("<none>")),
                None => ("<none>".to_owned(), "<none>"),
            };
            images::row(image, &repository, tag, "", trunc)
        };
        let container = |container: &Json| {
            let mut container = container.clone();
            // The size of the image below it has its own table.
            container["SizeRootFs"] = Json::from(0);
            ps::row(&container, trunc)
        };
        Self {
            images: list(usage, "Images").iter().map(image).collect(),
            containers: list(usage, "Containers").iter().map(container).collect(),
            volumes: list(usage, "Volumes").iter().map(volumes::row).collect(),
        }
    }
}

fn verbose_tables(usage: &Json) -> Outcome {
    let details = Details::new(usage, true);
    print("Images space usage:\n\n");
    Table { format: IMAGES, headings: images::headings() }.print(&details.images)?;
    print("\nContainers space usage:\n\n");
    Table { format: CONTAINERS, headings: ps::headings() }.print(&details.containers)?;
    print("\nLocal Volumes space usage:\n\n");
    Table { format: VOLUMES, headings: volumes::headings() }.print(&details.volumes)?;
    let cache: i64 = list(usage, "BuildCache").iter().map(|item| number(item, "Size")).sum();
    print(&format!("\nBuild cache usage: {}\n\n", human_size(cache as f64)));
    let headings = vec![
        ("ID", "CACHE ID"),
        ("CacheType", "CACHE TYPE"),
        ("Size", "SIZE"),
        ("CreatedSince", "CREATED"),
        ("LastUsedSince", "LAST USED"),
        ("UsageCount", "USAGE"),
        ("Shared", "SHARED"),
    ];
    Table { format: BUILD_CACHE, headings }.print(&[])
}

/// One template for the whole, whose lists hold the rows.
fn verbose_template(usage: &Json, format: &str) -> Outcome {
    let details = Details::new(usage, false);
    let whole = Value::structure(
        VERBOSE,
        vec![
            ("Images", Value::List(details.images.into())),
            ("Containers", Value::List(details.containers.into())),
            ("Volumes", Value::List(details.volumes.into())),
            ("BuildCache", Value::List(Vec::new().into())),
        ],
    );
    let text = template_of(format)?
        .execute(&whole, Functions::Data)
        .map_err(|error| Failure::new(error.to_string()))?;
    print(&text);
    Ok(())
}

fn verbose_raw(usage: &Json) -> Outcome {
    let details = Details::new(usage, false);
    let image = format!("type: Image\n{}", images::raw_format(true));
    let container = format!("type: Container\n{}size: {{{{.Size}}}}\n", ps::RAW);
    for (format, rows) in [
        (image.as_str(), &details.images),
        (container.as_str(), &details.containers),
        (RAW_VOLUME, &details.volumes),
    ] {
        Table { format, headings: Vec::new() }.print(rows)?;
    }
    Ok(())
}
