//! `update`: new limits for a running container.

use std::io::Read;

use types::spec::{BlockIo, Cpu, IntelRdt, Memory, Pids, Resources};

use super::args::{Args, unknown};
use super::container::Container;
use super::{Global, Outcome};
use crate::error::{Context, Error};

/// What the flags ask for.
#[derive(Debug, Default)]
struct Wanted {
    resources: Resources,
    l3_cache_schema: Option<String>,
    mem_bw_schema: Option<String>,
}

pub(super) fn update(global: &Global, mut args: Args) -> Outcome {
    let wanted = parse(&mut args)?;
    let id = args.id()?;
    args.end()?;
    let mut container = Container::open(global, &id)?;
    container.running()?;
    let class = class(&container, &wanted)?;
    let memory = wanted.resources.memory.as_ref();
    if memory.is_some_and(|memory| memory.kernel.is_some() || memory.kernel_tcp.is_some()) {
        global.log.warn("Kernel memory settings are ignored and will be removed");
    }
    container.own_cgroup()?.update(&wanted.resources)?;
    if let Some(class) = &class {
        crate::domains::update_class(&id, class)?;
    }
    if let Some(linux) = &mut container.record.spec.linux {
        merge(linux.resources.get_or_insert_with(Resources::default), wanted.resources);
        linux.intel_rdt = class.or(linux.intel_rdt.take());
    }
    container.save()?;
    Ok(0)
}

/// The container's class of cache and memory bandwidth with the new schemata; `None` when they stay.
fn class(container: &Container, wanted: &Wanted) -> Result<Option<IntelRdt>, Error> {
    if wanted.l3_cache_schema.is_none() && wanted.mem_bw_schema.is_none() {
        return Ok(None);
    }
    let Some(root) = linux::resctrl::root() else {
        return Err(Error::NotImplemented("Intel RDT is not enabled".into()));
    };
    let lacks = |resource: &str| !root.join("info").join(resource).exists();
    if wanted.l3_cache_schema.is_some() && lacks("L3") {
        return Err(Error::NotImplemented("Intel RDT/CAT: l3 cache schema is not enabled".into()));
    }
    if wanted.mem_bw_schema.is_some() && lacks("MB") {
        return Err(Error::NotImplemented("Intel RDT/MBA: memory bandwidth schema is not enabled".into()));
    }
    let known = container.record.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.clone());
    let mut class = known.ok_or_else(|| {
        Error::Invalid("updating a non-existent Intel RDT configuration is not supported".into())
    })?;
    if let Some(schema) = &wanted.l3_cache_schema {
        class.l3_cache_schema.clone_from(schema);
    }
    if let Some(schema) = &wanted.mem_bw_schema {
        class.mem_bw_schema.clone_from(schema);
    }
    Ok(Some(class))
}

fn parse(args: &mut Args) -> Result<Wanted, Error> {
    let (mut wanted, mut cpu, mut memory) = (Wanted::default(), Cpu::default(), Memory::default());
    let (mut file, mut resources) = (None, Resources::default());
    while let Some(flag) = args.flag()? {
        match flag.as_str() {
            "resources" | "r" => file = Some(args.value(&flag)?),
            "blkio-weight" => {
                resources.block_io =
                    Some(BlockIo { weight: Some(args.number(&flag)?), ..BlockIo::default() });
            }
            "cpu-period" => cpu.period = args.optional_number(&flag)?,
            "cpu-quota" => cpu.quota = args.optional_number(&flag)?,
            "cpu-burst" => cpu.burst = args.optional_number(&flag)?,
            "cpu-share" => cpu.shares = args.optional_number(&flag)?,
            "cpu-rt-period" => cpu.realtime_period = args.optional_number(&flag)?,
            "cpu-rt-runtime" => cpu.realtime_runtime = args.optional_number(&flag)?,
            "cpuset-cpus" => cpu.cpus = args.value(&flag)?,
            "cpuset-mems" => cpu.mems = args.value(&flag)?,
            "cpu-idle" => cpu.idle = args.optional_number(&flag)?,
            "memory" => memory.limit = bytes(&args.value(&flag)?)?,
            "memory-reservation" => memory.reservation = bytes(&args.value(&flag)?)?,
            "memory-swap" => memory.swap = bytes(&args.value(&flag)?)?,
            // Obsolete; a warning is all that comes of them, as with runc.
            "kernel-memory" => memory.kernel = bytes(&args.value(&flag)?)?,
            "kernel-memory-tcp" => memory.kernel_tcp = bytes(&args.value(&flag)?)?,
            "pids-limit" => resources.pids = Some(Pids { limit: Some(args.number(&flag)?) }),
            "l3-cache-schema" => {
                wanted.l3_cache_schema = Some(args.value(&flag)?).filter(|text| !text.is_empty())
            }
            "mem-bw-schema" => {
                wanted.mem_bw_schema = Some(args.value(&flag)?).filter(|text| !text.is_empty())
            }
            _ => return Err(unknown(&flag)),
        }
    }
    resources.cpu = (cpu != Cpu::default()).then_some(cpu);
    resources.memory = (memory != Memory::default()).then_some(memory);
    // With a file, the other limits do not count.
    wanted.resources = file.map_or(Ok(resources), |path| from_file(&path))?;
    Ok(wanted)
}

fn from_file(path: &str) -> Result<Resources, Error> {
    let mut text = Vec::new();
    if path == "-" {
        std::io::stdin().read_to_end(&mut text).doing(|| "read standard input".into())?;
    } else {
        text = std::fs::read(path).doing(|| format!("read {path}"))?;
    }
    serde_json::from_slice(&text).map_err(|error| Error::Invalid(format!("resources: {error}")))
}

/// `512m` and the like; -1 is unlimited, an empty text nothing.
fn bytes(text: &str) -> Result<Option<i64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let lower = text.to_ascii_lowercase();
    let trimmed = lower.trim_end_matches("ib").trim_end_matches('b');
    let (number, shift) = match trimmed.strip_suffix(['k', 'm', 'g', 't']) {
        Some(number) => (number, 10 * ("kmgt".find(&trimmed[number.len()..]).unwrap_or(0) as u32 + 1)),
        None => (trimmed, 0),
    };
    let value: Option<i64> = number.parse().ok();
    value
        .and_then(|value| value.checked_mul(1 << shift))
        .map(Some)
        .ok_or_else(|| Error::Invalid(format!("invalid size: {text:?}")))
}

/// What was set replaces what was known.
fn merge(known: &mut Resources, new: Resources) {
    let Resources { devices, memory, cpu, pids, block_io, hugepage_limits, network, rdma, unified } = new;
    if !devices.is_empty() {
        known.devices = devices;
    }
    if !hugepage_limits.is_empty() {
        known.hugepage_limits = hugepage_limits;
    }
    known.memory = memory.or(known.memory.take());
    known.cpu = cpu.or(known.cpu.take());
    known.pids = pids.or(known.pids.take());
    known.block_io = block_io.or(known.block_io.take());
    known.network = network.or(known.network.take());
    known.rdma.extend(rdma);
    known.unified.extend(unified);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expect) in [
            ("1024", Some(1024)),
            ("512m", Some(512 << 20)),
            ("1G", Some(1 << 30)),
            ("2KiB", Some(2048)),
            ("3kb", Some(3072)),
            ("-1", Some(-1)),
            ("", None),
        ] {
            assert_eq!(bytes(text).unwrap(), expect, "{text}");
        }
        for text in ["m", "99999999999g"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn flags_become_resources() {
        let words = ["--memory=64m", "id", "--cpu-share", "512", "--pids-limit", "9", "--cpu-quota="]
            .map(String::from);
        let mut args = Args::new(crate::cli::help::find("update").unwrap(), words.to_vec());
        let resources = parse(&mut args).unwrap().resources;
        assert_eq!(args.id().unwrap(), "id");
        assert_eq!(resources.memory.unwrap().limit, Some(64 << 20));
        assert_eq!(resources.cpu.map(|cpu| (cpu.shares, cpu.quota)), Some((Some(512), None)));
        assert_eq!(resources.pids.unwrap().limit, Some(9));
    }
}
