//! Bytes between processes and clients.

use std::time::{Duration, Instant};

use types::StreamKind;

use super::connection::{Connection, Role};
use super::poller::Ready;
use super::stdio::Read;
use super::{CHUNK, INIT, Supervisor};
use crate::STALL_LIMIT_S;

/// Bytes that may wait for one client once the process has ended: its last output shall leave the pipe, which holds
/// at most this much (`/proc/sys/fs/pipe-max-size`).
const LAST_BYTES_MAX: usize = 1 << 20;

/// When a client that takes nothing is dropped; `None`: never, or it is not slow.
pub(super) fn stall_deadline(client: &Connection) -> Option<Instant> {
    if client.stream().is_some_and(|stream| stream.holds) {
        return None;
    }
    client.stalled_since.map(|since| since + Duration::from_secs(STALL_LIMIT_S))
}

impl Supervisor {
    /// Takes what a process has written, once, and passes it on.
    pub(super) fn read_output(&mut self, member: usize, which: usize) {
        let Some(process) = self.members.get_mut(member) else { return };
        let Some(output) = &process.stdio.outputs[which] else { return };
        let stream = output.stream;
        self.buffer.clear();
        self.buffer.reserve(CHUNK);
        match output.read(&mut self.buffer) {
            Read::Some => self.pass_on(member, stream),
            Read::Nothing => {}
            Read::End => self.close_output(member, which),
        }
    }

    /// The buffer to the log and to every attachment that wants it.
    fn pass_on(&mut self, member: usize, stream: StreamKind) {
        if member == INIT {
            self.log.write(stream, &self.buffer);
            self.listen_to_log();
        }
        let mut broken = Vec::new();
        let mut slow = Vec::new();
        for (index, client) in self.connections.iter_mut().filter(|(_, client)| client.wants(member, stream))
        {
            if client.deliver(stream, &self.buffer).is_err() {
                broken.push(index);
            } else if client.pending() > 0 {
                slow.push(index);
            }
        }
        let changed = !slow.is_empty();
        slow.into_iter().for_each(|index| self.listen(index));
        broken.into_iter().for_each(|index| self.drop_connection(index));
        if changed {
            self.refresh_outputs(member);
        }
    }

    fn close_output(&mut self, member: usize, which: usize) {
        let Some(process) = self.members.get_mut(member) else { return };
        if let Some(mut output) = process.stdio.outputs[which].take() {
            let _gone = output.listen(&self.poller, false);
            if member == INIT {
                self.log.finish(output.stream);
                self.listen_to_log();
            }
        }
        self.try_finish(member);
    }

    /// Reads what is left without waiting for more, and closes: whoever still holds the stream is not the process.
    pub(super) fn give_up_draining(&mut self, member: usize) {
        for which in 0..2 {
            let mut left = LAST_BYTES_MAX;
            while left > 0 {
                let Some(process) = self.members.get(member) else { return };
                let Some(output) = &process.stdio.outputs[which] else { break };
                let stream = output.stream;
                self.buffer.clear();
                self.buffer.reserve(CHUNK);
                if output.read(&mut self.buffer) != Read::Some {
                    break;
                }
                left = left.saturating_sub(self.buffer.len());
                self.pass_on(member, stream);
            }
            self.close_output(member, which);
        }
        self.try_finish(member);
    }

    /// Listens to a process's output, unless a client must take some first.
    pub(super) fn refresh_outputs(&mut self, member: usize) {
        let Some(process) = self.members.get_mut(member) else { return };
        let allowance = if process.ended.is_some() { LAST_BYTES_MAX } else { 0 };
        let mut failed = Vec::new();
        for which in 0..2 {
            if let Some(output) = &mut process.stdio.outputs[which] {
                let held = self
                    .connections
                    .iter()
                    .any(|(_, client)| client.wants(member, output.stream) && client.pending() > allowance);
                if output.listen(&self.poller, !held).is_err() {
                    failed.push(which);
                }
            }
        }
        failed.into_iter().for_each(|which| self.close_output(member, which));
    }

    /// Listens to the clients of a process, unless it must take some input first.
    pub(super) fn refresh_connections(&mut self, member: usize) {
        for index in self.connections.indexes(|client| client.is_attached_to(member)) {
            self.listen(index);
        }
    }

    /// A client can take more, has said something, or is gone.
    pub(super) fn serve(&mut self, index: usize, ready: Ready) {
        let Some(client) = self.connections.get_mut(index) else { return };
        if ready.contains(Ready::OUT) {
            if client.flush().is_err() {
                return self.drop_connection(index);
            }
            self.after_flush(index);
        }
        let gone = ready.intersects(Ready::HUP | Ready::ERR);
        if gone || ready.contains(Ready::IN) {
            match self.connections.get(index).map(|client| &client.role) {
                Some(Role::Request(_)) => self.serve_request(index),
                Some(Role::Stream(stream)) if stream.input_open => self.take_input(index, gone),
                _ => {}
            }
        }
        if gone {
            return self.drop_connection(index);
        }
        self.listen(index);
    }

    /// Something was taken: the process may go on, or the connection is finished.
    fn after_flush(&mut self, index: usize) {
        let Some(client) = self.connections.get(index) else { return };
        let finished = client.pending() == 0 && (client.ending || matches!(client.role, Role::Answered));
        if finished {
            self.drop_connection(index);
        } else if let Some(member) = client.stream().map(|stream| stream.member) {
            self.refresh_outputs(member);
        }
    }

    /// Passes on what a client has typed. `to_the_end`: it is gone, and only its last words are left (as many as its
    /// socket holds).
    fn take_input(&mut self, index: usize, to_the_end: bool) {
        loop {
            let Some(client) = self.connections.get_mut(index) else { return };
            let mut bytes = Vec::with_capacity(CHUNK / 4);
            match client.receive(&mut bytes) {
                Ok(true) => {
                    if self.pass_in(index, bytes) || !to_the_end {
                        return;
                    }
                }
                Ok(false) => return self.input_ended(index),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => return self.input_ended(index),
            }
        }
    }

    /// Input to the process; `true` if it was the detach keys.
    fn pass_in(&mut self, index: usize, bytes: Vec<u8>) -> bool {
        let Some(stream) = self.connections.get_mut(index).and_then(Connection::stream_mut) else {
            return true;
        };
        if !stream.stdin {
            return false;
        }
        let member = stream.member;
        let (bytes, detached) = match &mut stream.detach {
            None => (bytes, false),
            Some(scanner) => {
                let mut passed = Vec::with_capacity(bytes.len());
                let detached = scanner.feed(&bytes, &mut passed);
                (passed, detached)
            }
        };
        if let Some(process) = self.members.get_mut(member) {
            process.stdio.push_input(&self.poller, &bytes);
            if process.stdio.input_is_full() {
                self.refresh_connections(member);
            }
        }
        if detached {
            self.close_when_flushed(index);
        }
        detached
    }

    /// A client sends no more: see the crate's page, "Half-close".
    fn input_ended(&mut self, index: usize) {
        let Some(stream) = self.connections.get_mut(index).and_then(Connection::stream_mut) else { return };
        if !std::mem::replace(&mut stream.input_open, false) || !stream.stdin {
            return;
        }
        let member = stream.member;
        let held = stream.detach.as_mut().map(|scanner| scanner.finish().to_vec()).unwrap_or_default();
        let Some(process) = self.members.get_mut(member) else { return };
        process.stdio.push_input(&self.poller, &held);
        if process.stdio.input.is_none() {
            // Nobody listens; the client's end of input means nothing.
            return;
        }
        if (member != INIT || self.stdin_once) && !process.stdio.is_terminal() {
            process.stdio.end_input(&self.poller);
        } else {
            self.close_when_flushed(index);
        }
    }

    /// An attachment ends as soon as the client has what is pending.
    fn close_when_flushed(&mut self, index: usize) {
        let Some(client) = self.connections.get_mut(index) else { return };
        client.ending = true;
        if client.pending() == 0 {
            self.drop_connection(index);
        } else if let Some(member) = client.stream().map(|stream| stream.member) {
            self.listen(index);
            self.refresh_outputs(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::Attach;
    use crate::supervise::connection::Stream;

    #[test]
    fn only_late_clients_that_take_nothing_are_given_up() {
        let attach = Attach { stdout: true, ..Attach::default() };
        for (holds, bytes, expect) in [(true, 1 << 20, false), (false, 1 << 20, true), (false, 10, false)] {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let mut client =
                Connection::new(0, ours.into(), Role::Stream(Stream::new(0, &attach, false, holds)));
            client.deliver(StreamKind::Stdout, &vec![0; bytes]).unwrap();
            let deadline = stall_deadline(&client);
            assert_eq!(deadline.is_some(), expect, "holds: {holds}, {bytes} bytes");
            assert!(deadline.is_none_or(|deadline| deadline > Instant::now() + Duration::from_secs(50)));
        }
    }
}
