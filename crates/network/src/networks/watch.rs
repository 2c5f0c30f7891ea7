//! Putting back what others remove of ours: the firewall's table, a bridge. The kernel tells; nobody looks twice.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::Networks;
use crate::firewall::removed_from;
use crate::netlink::route::removed_link;
use crate::netlink::{Changes, Socket};
use crate::{Error, Result};

/// The thread that listens. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    /// Nothing is ever written: its end is what the thread sees.
    _end: OwnedFd,
}

impl Watch {
    pub(super) fn start(networks: &Arc<Networks>) -> Result<Self> {
        let failed = |error: io::Error| Error::kernel("listen to changes of the network", error);
        let links = Socket::listener(Changes::Links).map_err(failed)?;
        let rules = networks.firewall.table().map(|_| Socket::listener(Changes::Rules)).transpose();
        let rules = rules.map_err(failed)?;
        let (end, mine) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let networks = Arc::downgrade(networks);
        thread::Builder::new()
            .name("netwatch".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || listen(&networks, links, rules, &end))
            .map_err(failed)?;
        Ok(Self { _end: mine })
    }
}

fn listen(networks: &Weak<Networks>, mut links: Socket, mut rules: Option<Socket>, end: &OwnedFd) {
    loop {
        let mut fds = vec![PollFd::new(end, PollFlags::empty()), PollFd::new(&links, PollFlags::IN)];
        fds.extend(rules.as_ref().map(|rules| PollFd::new(rules, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return tracing::error!(%error, "nobody listens to changes of the network any more"),
        }
        let ended = !fds[0].revents().is_empty();
        drop(fds);
        let Some(networks) = networks.upgrade().filter(|_| !ended) else { return };
        let heard = networks.hear_of_links(&mut links).and_then(|()| match &mut rules {
            Some(rules) => networks.hear_of_rules(rules),
            None => Ok(()),
        });
        if let Err(error) = heard {
            tracing::error!(%error, "what others removed of our networks cannot be put back");
        }
    }
}

impl Networks {
    /// A bridge that somebody removes is made again, and living containers are plugged in.
    fn hear_of_links(&self, links: &mut Socket) -> Result<()> {
        let mut removed = Vec::new();
        let whole = links.hear(|message| removed.extend(removed_link(&message)));
        let whole = whole.map_err(|error| Error::kernel("listen to changes of links", error))?;
        let ready: Vec<(String, u32)> =
            self.ready().iter().map(|(name, index)| (name.clone(), *index)).collect();
        for (name, index) in ready {
            if whole && !removed.contains(&index) {
                continue;
            }
            let interface = self.held().networks.get(&name).map(|space| space.network.interface.clone());
            let Some(interface) = interface else { continue };
            let look = |error| Error::kernel(format!("look at interface {interface}"), error);
            let now = self.route.with(|socket| socket.link(&interface).map_err(look))?;
            if now.is_some_and(|link| link.index == index) {
                continue;
            }
            // Whoever removes the network itself has taken it off the list before.
            self.ready().remove(&name);
            match self.index(&name) {
                Ok(_) => tracing::warn!(
                    network = name,
                    interface,
                    "somebody removed an interface of ours; it is back"
                ),
                Err(Error::NoNetwork(_)) => {}
                Err(error) => {
                    tracing::error!(network = name, interface, %error, "somebody removed an interface of ours")
                }
            }
        }
        Ok(())
    }

    /// Rules that somebody removes come back, all of them at once.
    fn hear_of_rules(&self, rules: &mut Socket) -> Result<()> {
        let Some(ours) = self.firewall.table() else { return Ok(()) };
        let mut removed = false;
        let whole = rules.hear(|message| {
            removed |= !self.firewall.asked(message.port)
                && removed_from(&message).is_some_and(|table| table == ours);
        });
        let whole = whole.map_err(|error| Error::kernel("listen to changes of nf_tables", error))?;
        let lost = !whole && !self.firewall.is_installed()?;
        // A daemon that has made no rules yet, or none any more, wants none back.
        let has_bridges = self
            .ready()
            .keys()
            .any(|name| self.held().networks.get(name).is_some_and(|space| space.network.bridge().is_some()));
        if (removed || lost) && has_bridges {
            self.install()?;
            tracing::warn!(table = ours, "somebody removed rules of ours; they are back");
        }
        Ok(())
    }
}
