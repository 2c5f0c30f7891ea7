//! Measures joins and leaves in a network namespace of its own: `join_time [COUNT [PORTS_EACH]]`. Prints medians, so
//! that two builds can be compared on one machine; needs root.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use network::{JoinRequest, NetworkConfig, Networks, PortRequest, Protocol};
use types::ContainerId;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u16>());
    let count = numbers.next().transpose()?.unwrap_or(50);
    let each = numbers.next().transpose()?.unwrap_or(0);
    linux::netns::unshare_network()?;

    let start = Instant::now();
    let networks = Networks::open(NetworkConfig::default())?;
    let open = start.elapsed();
    networks.restore(&[])?;
    let container = ContainerId::from_bytes([1; 32]);
    let ports: Vec<_> = (0..each)
        .map(|port| PortRequest {
            container_port: port + 1,
            protocol: Protocol::Tcp,
            host_ip: Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            host_ports: None,
        })
        .collect();
    let request = JoinRequest {
        network: "bridge",
        interface: "eth0",
        container: &container,
        name: "bench",
        want: None,
        ports: &ports,
        sysctls: &[],
    };
    let (mut joins, mut leaves, mut live) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        // The time between two starts, in which the pool is filled again.
        std::thread::sleep(Duration::from_millis(5));
        let start = Instant::now();
        let joined = networks.join(&request)?;
        joins.push(start.elapsed());
        live.push(joined);
    }
    for joined in live {
        let start = Instant::now();
        networks.leave(&joined.endpoint)?;
        drop(joined.netns);
        leaves.push(start.elapsed());
    }
    // One container after the other, as `run --rm` in a loop: the kernel still reaps the last one's interfaces.
    let mut churn = Vec::new();
    for _ in 0..count {
        std::thread::sleep(Duration::from_millis(10));
        let start = Instant::now();
        let joined = networks.join(&request)?;
        churn.push(start.elapsed());
        networks.leave(&joined.endpoint)?;
    }
    let first = joins.first().copied().unwrap_or_default();
    println!("open {open:?}, first join {first:?}");
    println!("join p50 {:?} min {:?}", median(&mut joins), joins[0]);
    println!("leave p50 {:?}", median(&mut leaves));
    println!("join one after the other p50 {:?} max {:?}", median(&mut churn), churn[churn.len() - 1]);
    Ok(())
}

/// Sorts; the first is then the smallest.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
