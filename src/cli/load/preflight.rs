//! What must be true before load is sent: room for connections, and a yes where it costs money.

use std::io::{BufRead, IsTerminal};
use std::net::IpAddr;

use anyhow::bail;

use crate::auth::seen::Seen;
use crate::cli::open_files;
use crate::cli::ui::Ui;
use crate::load::fleet::Lane;
use crate::report::escape;
use crate::transport::wire::STREAMS_PER_LANE;

/// Files that the program has open besides connections: standard streams, logs, results, and of each worker its
/// runtime's and its reader's.
const OTHER_FILES: u64 = 64;
const FILES_OF_A_WORKER: u64 = 8;

/// What the system allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Open files; `None` where there is no limit, or none that is known.
    pub files: Option<u64>,
    /// Of these, what is open besides connections.
    pub other: u64,
    /// Ports of this machine for connections to one address and port; `None` where not known.
    pub ports: Option<u64>,
}

/// What this system allows, after raising the limit of open files as far as it goes without being anybody
/// special, for so many workers.
pub fn room(workers: usize) -> Room {
    // Only Linux says it here.
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let ports = range.and_then(|text| {
        let mut ends = text.split_whitespace().map(str::parse::<u64>);
        let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
        Some(high.saturating_sub(low) + 1)
    });
    Room {
        files: open_files::raise(),
        other: OTHER_FILES + FILES_OF_A_WORKER.saturating_mul(workers as u64),
        ports,
    }
}

/// How conversations share connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// Conversations on a connection, at most.
    pub streams: u64,
    /// Each has connections of its own.
    pub workers: u64,
}

impl Sharing {
    /// A connection for each.
    pub const NONE: Sharing = Sharing {
        streams: 1,
        workers: 0,
    };

    /// HTTP/2. A server may allow fewer streams, which shows only when it is asked.
    pub fn streams(workers: usize) -> Sharing {
        Sharing {
            streams: STREAMS_PER_LANE as u64,
            workers: workers as u64,
        }
    }

    /// The connections that so many conversations at one target need: each worker may have one that is not full.
    pub fn connections(self, conversations: u64) -> u64 {
        let full = conversations.div_ceil(self.streams);
        full.saturating_add(self.workers).min(conversations)
    }

    /// The conversations at so many targets that have room on so many connections.
    fn conversations(self, connections: u64, lanes: u64) -> u64 {
        let full = connections.saturating_sub(self.workers.saturating_mul(lanes));
        full.saturating_mul(self.streams).max(connections)
    }
}

/// Whether so many connections at a time have room, of which so many go to one address.
pub fn check_room(room: Room, connections: u64, to_one: u64) -> anyhow::Result<()> {
    if let Some(files) = room.files
        && connections.saturating_add(room.other) > files
    {
        bail!(
            "{connections} connections at a time need {} open files, and this process may have {files}\n  \
             help: `ulimit -n {}` in this shell (as root, or with a higher hard limit in \
             /etc/security/limits.conf), or less load, or --shard on several machines",
            connections.saturating_add(room.other),
            connections.saturating_add(room.other)
        );
    }
    if let Some(ports) = room.ports
        && to_one > ports
    {
        bail!(
            "{to_one} connections at a time to one address need as many local ports, and there are {ports}\n  \
             help: `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or less load, or --shard on several \
             machines"
        );
    }
    Ok(())
}

/// How many conversations an open loop may hold at a time, when the wish is this.
pub fn affordable(room: Room, wish: u32, lanes: usize, sharing: Sharing) -> u32 {
    let files = room.files.map(|files| files.saturating_sub(room.other));
    let ports = room.ports.map(|ports| ports.saturating_mul(lanes as u64));
    let connections = files.into_iter().chain(ports).min();
    let most = connections.map_or(u64::MAX, |most| sharing.conversations(most, lanes as u64));
    u32::try_from(most).unwrap_or(u32::MAX).clamp(1, wish)
}

/// Whether requests to this URL stay on this machine or its private network, where nobody charges for them.
pub fn is_private(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost") || !host.contains('.'),
    }
}

/// Asks before anything is spent. `what` says how much is about to be sent.
pub fn confirm(
    lanes: &[Lane],
    what: &str,
    seen: &Seen,
    yes: bool,
    ui: &mut Ui,
) -> anyhow::Result<()> {
    let spending: Vec<String> = lanes
        .iter()
        .filter(|lane| !lane.target.mocked)
        .filter(|lane| lane.price.is_some() || !is_private(&lane.target.route.base_url()))
        .map(|lane| {
            let price = lane
                .price
                .as_ref()
                .map(|price| format!(", {price}"))
                .unwrap_or_default();
            format!(
                "  {}: {} at {}{price}\n",
                escape::line(&lane.label()),
                escape::line(&lane.target.model),
                escape::line(&lane.target.route.base_url())
            )
        })
        .collect();
    if spending.is_empty() || yes {
        return Ok(());
    }
    let list = seen.redact(&spending.concat());
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        bail!(
            "this sends {what} to providers that charge for it:\n{list}  help: --yes says that this is meant; \
             --max-tokens and --max-cost limit it; --mocks rehearses it for nothing"
        );
    }
    ui.err(&format!(
        "This sends {what} to providers that charge for it:\n{list}Go on? [y/N] "
    ))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was sent"),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::load::preflight::*;

    #[test]
    fn too_little_room_is_told_with_its_remedy() {
        let room = Room {
            files: Some(1024),
            other: 70,
            ports: Some(28_232),
        };
        assert!(check_room(room, 900, 900).is_ok());
        let files = check_room(room, 1000, 10).unwrap_err().to_string();
        assert!(files.contains("ulimit -n 1070"), "{files}");
        let many = Room {
            files: None,
            ..room
        };
        let ports = check_room(many, 30_000, 30_000).unwrap_err().to_string();
        assert!(ports.contains("ip_local_port_range"), "{ports}");
        assert!(check_room(many, 60_000, 20_000).is_ok());
        assert_eq!(affordable(room, 20_000, 1, Sharing::NONE), 954);
        assert_eq!(affordable(many, 50_000, 1, Sharing::NONE), 28_232);
    }

    #[test]
    fn streams_share_connections() {
        assert_eq!(Sharing::NONE.connections(30_000), 30_000);
        let two = Sharing::streams(2);
        // 468 are full, one is not; and the rest of the other worker's.
        assert_eq!(two.connections(30_000), 471);
        assert_eq!(two.connections(1), 1);
        let room = Room {
            files: Some(564),
            other: 64,
            ports: Some(28_232),
        };
        assert_eq!(affordable(room, 100_000, 1, two), 498 * 64);
        assert_eq!(affordable(room, 100_000, 3, two), 494 * 64);
    }

    #[test]
    fn only_private_addresses_are_free() {
        for url in [
            "http://127.0.0.1:8000/v1",
            "http://[::1]:1/v1",
            "http://localhost:1",
            "http://10.1.2.3/v1",
            "http://vllm:8000/v1",
        ] {
            assert!(is_private(url), "{url}");
        }
        for url in ["https://api.openai.com/v1", "http://8.8.8.8/", "nonsense"] {
            assert!(!is_private(url), "{url}");
        }
    }
}
