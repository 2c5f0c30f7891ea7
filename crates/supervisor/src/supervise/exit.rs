//! Ends: of an exec, of the container, of the supervisor.

use std::time::Instant;

use rustix::process::{WaitOptions, WaitStatus};

use super::connection::Role;
use super::{DRAIN_LIMIT, FINISHED_MAX, INIT, Supervisor};
use crate::foreign::Bundle;
use crate::log;
use crate::protocol::{ExecState, Reply};
use crate::record::{self, ExitRecord, exit_of};

impl Supervisor {
    /// Takes note of every child that has ended. As a subreaper we get strangers, too: orphans of a container that
    /// shares our pid namespace, and the log's compressors.
    pub(super) fn reap(&mut self) {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.process_ended(pid.as_raw_nonzero().get(), status),
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn process_ended(&mut self, pid: i32, status: WaitStatus) {
        let ours = self.members.indexes(|member| member.pid == pid && member.ended.is_none());
        let Some(index) = ours.first().copied() else { return };
        let record = ExitRecord {
            exit_code: exit_of(status).code(),
            signal: status.terminating_signal(),
            oom_killed: false,
            finished_at: log::rfc3339_nano(log::now()),
        };
        let Some(process) = self.members.get_mut(index) else { return };
        process.ended = Some((record, Instant::now() + DRAIN_LIMIT));
        process.stdio.release();
        if index == INIT {
            self.end_the_others();
        }
        self.refresh_outputs(index);
        self.try_finish(index);
    }

    /// Without its init a container is over, also when its processes live in another container's pid namespace or the
    /// host's.
    fn end_the_others(&mut self) {
        let Some(cgroup) = &self.cgroup else { return };
        // A frozen process on v1 dies when it is thawed. Errors here mean that nobody is left.
        let _nobody = cgroup.kill_all();
        if self.paused {
            let _nobody = cgroup.freeze(false);
            self.paused = false;
        }
    }

    /// Finishes a member if it has ended, its output is out, and its clients have it or had their time for that.
    pub(super) fn try_finish(&mut self, index: usize) {
        let Some(process) = self.members.get(index) else { return };
        let Some((record, deadline)) = process.ended.clone() else { return };
        if !process.stdio.is_drained() {
            return;
        }
        let late = Instant::now() >= deadline;
        for client in self.connections.indexes(|client| client.is_attached_to(index)) {
            self.end_attachment(client);
        }
        let waiting = self.connections.iter().any(|(_, client)| client.is_attached_to(index));
        if index != INIT {
            if !waiting || late {
                self.finish_exec(index, record);
                self.try_finish(INIT);
            }
        } else if (!waiting && self.members.len() == 1) || late {
            self.finish_container(record);
        }
    }

    /// Closes an attachment that has everything; the others close when they have.
    fn end_attachment(&mut self, index: usize) {
        let Some(client) = self.connections.get_mut(index) else { return };
        client.ending = true;
        if client.pending() > 0 {
            self.listen(index);
        } else if let Some(mut client) = self.connections.remove(index) {
            client.forget(&self.poller);
        }
    }

    fn finish_exec(&mut self, index: usize, record: ExitRecord) {
        let Some(process) = self.members.remove(index) else { return };
        if self.finished.len() == FINISHED_MAX {
            self.finished.pop_front();
        }
        let state = ExecState { pid: process.pid, exit_code: Some(record.exit_code) };
        self.answer_waiters(index, &record);
        self.finished.push_back((process.id, state, record));
        // The slot may be used again: late clients of this one keep their bytes, but belong to nobody.
        self.orphan_clients(index);
    }

    fn orphan_clients(&mut self, index: usize) {
        for (_, client) in self.connections.iter_mut().filter(|(_, client)| client.is_attached_to(index)) {
            if let Some(stream) = client.stream_mut() {
                stream.member = usize::MAX;
            }
        }
    }

    /// The order matters: whoever learns of the end finds the record, whoever finds no record finds the socket, and the
    /// cgroup's name is free for a restart.
    fn finish_container(&mut self, mut record: ExitRecord) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        for exec in self.members.indexes(|member| !member.id.is_empty()) {
            self.answer_waiters(exec, &record);
        }
        record.oom_killed = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.oom_kills() > 0);
        if let Some(foreign) = &self.foreign
            && let Err(why) = foreign.delete(&Bundle::of(&self.dir), &self.id)
        {
            super::start::complain(&self.dir, &format!("delete container: {why}"));
        }
        if let Some(cgroup) = self.cgroup.take() {
            // Orphans that we have adopted leave the cgroup when they are reaped.
            self.reap();
            if let Err(error) = cgroup.remove() {
                super::start::complain(&self.dir, &format!("remove cgroup: {error}"));
            }
            self.reap();
        }
        // Before the end is told: whoever learns of it finds everything in the log.
        let lost = self.log.close(DRAIN_LIMIT);
        if lost > 0 {
            super::start::complain(&self.dir, &format!("{lost} log entries were not written"));
        }
        if let Err(error) = record.write(&self.dir) {
            super::start::complain(&self.dir, &format!("write exit record: {error}"));
        }
        if let Some((listener, mut interest)) = self.listener.take() {
            let _gone = interest.set(&self.poller, &listener, None);
            let _gone = std::fs::remove_file(record::socket_path(&self.dir));
        }
        self.members.remove(INIT);
        self.answer_waiters(INIT, &record);
        self.orphan_clients(INIT);
        self.connections.iter_mut().for_each(|(_, client)| client.ending = true);
        // Who has asked nothing yet gets no answer any more.
        for index in self.connections.indexes(|client| client.pending() == 0) {
            self.drop_connection(index);
        }
    }

    fn answer_waiters(&mut self, member: usize, record: &ExitRecord) {
        let waits = |role: &Role| matches!(role, Role::Wait(waited) if *waited == member);
        for index in self.connections.indexes(|client| waits(&client.role)) {
            self.answer(index, &Reply::Exited(record.clone()));
        }
    }
}
