//! The walls that a worker puts around itself before it sees a picture. What is left to it is to compute, to read the file that it was
//! handed, and to answer.
//!
//! Called by [`super::worker`], once, while the process has one thread. There is no way back, for what comes later either:
//!
//! - memory: so much more address space than the program has taken so far (`RLIMIT_AS`); processor time of its whole life (`RLIMIT_CPU`);
//! - a low priority (nice(2));
//! - no growing files, no core dumps, no processes, 16 descriptors; no new privileges; not to be traced or looked into; ended with the
//!   server's thread that started it;
//! - a list of system calls (seccomp(2)), without one that opens, connects, starts, signals others, or makes memory executable. What is not on it
//!   fails with `EPERM` instead of killing: a library that tries something and can do without it, does.
//!
//! Left out: namespaces and Landlock, since without a call that takes a path or an address there is nothing to hide.

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::io;

/// Descriptors: the three standard ones, the file, and what the runtime may have.
const FILES_MAX: u64 = 16;
/// How much lower than the server's own priority.
const NICE: i32 = 10;
/// What is assumed to be mapped where the system does not say.
const MAPPED_BYTES: u64 = 256 << 20;

/// Builds the walls. `false`: all but the filter of system calls, which this system does not have.
pub(super) fn confine(memory_bytes: u64, cpu_seconds: u64) -> io::Result<bool> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    lower(Resource::As, mapped_bytes().saturating_add(memory_bytes))?;
    lower(Resource::Cpu, cpu_seconds)?;
    lower(Resource::Nofile, FILES_MAX)?;
    for resource in [Resource::Fsize, Resource::Core, Resource::Nproc] {
        lower(resource, 0)?;
    }
    // Whoever has something to say to somebody comes first. Who may not go down stays where he is.
    let _ = rustix::process::nice(NICE);
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(filter().is_some_and(|filter| seccompiler::apply_filter(&filter).is_ok()))
}

/// Both limits, the soft and the hard one; never up.
fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let to = rustix::process::getrlimit(resource).maximum.map_or(to, |maximum| maximum.min(to));
    Ok(rustix::process::setrlimit(resource, Rlimit { current: Some(to), maximum: Some(to) })?)
}

/// Address space taken, as proc_pid_statm(5) has it.
fn mapped_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').next().and_then(|pages| pages.parse::<u64>().ok()));
    pages.map_or(MAPPED_BYTES, |pages| pages.saturating_mul(rustix::param::page_size() as u64))
}

/// `None`: not on this kind of processor.
fn filter() -> Option<BpfProgram> {
    let whole = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_pread64,
        libc::SYS_recvmsg,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sendto,
        libc::SYS_sigaltstack,
    ];
    let mut rules: std::collections::BTreeMap<_, _> = whole.map(|call| (call, Vec::new())).into();
    let mut only_if = |call, argument, is: SeccompCmpOp, value| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value).ok()?;
        Some(rules.insert(call, vec![SeccompRule::new(vec![condition]).ok()?]))
    };
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        only_if(call, 2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?;
    }
    // To itself: so that what aborts, for want of memory say, ends at once and does not turn in circles.
    only_if(libc::SYS_tgkill, 0, SeccompCmpOp::Eq, u64::from(std::process::id()))?;
    let arch = std::env::consts::ARCH.try_into().ok()?;
    let others = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, others, SeccompAction::Allow, arch).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn the_filter_can_be_built() {
        // Else a worker would go without, which elsewhere is right.
        assert!(super::filter().is_some());
    }
}
