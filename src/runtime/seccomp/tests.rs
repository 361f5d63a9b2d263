//! Runs the program as the kernel would.

use libc::{BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT};

use super::*;
use crate::capability::{Capabilities, DEFAULT};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;

fn run(filter: &Filter, architecture: u32, number: u32, arguments: &[u64]) -> u32 {
    let mut words = [0u32; 16];
    (words[0], words[1]) = (number, architecture);
    for (at, argument) in arguments.iter().enumerate() {
        words[4 + 2 * at] = (*argument & 0xffff_ffff) as u32;
        words[5 + 2 * at] = (*argument >> 32) as u32;
    }
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let one = filter.instructions[at];
        at += 1;
        match u32::from(one.code) {
            0x20 => accumulator = words[one.k as usize / 4],
            0x54 => accumulator &= one.k,
            0x06 => return one.k,
            code if code == libc::BPF_JMP | BPF_JA => at += one.k as usize,
            code => {
                let holds = match code & 0xf0 {
                    BPF_JEQ => accumulator == one.k,
                    BPF_JGE => accumulator >= one.k,
                    BPF_JGT => accumulator > one.k,
                    other => panic!("unknown jump {other:#x}"),
                };
                at += usize::from(if holds { one.jt } else { one.jf });
            }
        }
    }
}

fn call(filter: &Filter, number: libc::c_long, arguments: &[u64]) -> u32 {
    run(filter, program::AUDIT_ARCH_X86_64, u32::try_from(number).unwrap(), arguments)
}

#[test]
fn a_default_container_gets_dockers_answers() {
    let filter = Filter::for_capabilities(DEFAULT);
    let new_user = libc::CLONE_NEWUSER as u64;
    for (number, arguments, want) in [
        (libc::SYS_read, vec![], ALLOW),
        (libc::SYS_execve, vec![], ALLOW),
        (libc::SYS_ptrace, vec![], ALLOW),
        (libc::SYS_clone, vec![libc::SIGCHLD as u64], ALLOW),
        (libc::SYS_clone, vec![new_user | libc::SIGCHLD as u64], EPERM),
        (libc::SYS_clone, vec![libc::CLONE_NEWNS as u64], EPERM),
        (libc::SYS_clone3, vec![], ENOSYS),
        (libc::SYS_unshare, vec![new_user], EPERM),
        (libc::SYS_setns, vec![], EPERM),
        (libc::SYS_mount, vec![], EPERM),
        (libc::SYS_keyctl, vec![], EPERM),
        (libc::SYS_add_key, vec![], EPERM),
        (libc::SYS_bpf, vec![], EPERM),
        (libc::SYS_io_uring_setup, vec![], EPERM),
        (libc::SYS_chroot, vec![], ALLOW),
        (libc::SYS_reboot, vec![], EPERM),
        (libc::SYS_kexec_load, vec![], EPERM),
        (libc::SYS_personality, vec![0], ALLOW),
        (libc::SYS_personality, vec![8], ALLOW),
        (libc::SYS_personality, vec![0xffff_ffff], ALLOW),
        (libc::SYS_personality, vec![0x4_0000], EPERM),
        (libc::SYS_personality, vec![8 | 1 << 32], EPERM),
        (libc::SYS_socket, vec![2], ALLOW),
        (libc::SYS_socket, vec![40], EPERM),
        (libc::SYS_socket, vec![40 | 1 << 32], ALLOW),
        (5000, vec![], ENOSYS),
        (0x4000_0000, vec![], ENOSYS),
    ] {
        assert_eq!(call(&filter, number, &arguments), want, "call {number} {arguments:x?}");
    }
}

#[test]
fn capabilities_open_the_calls_that_need_them() {
    let filter = Filter::for_capabilities(Capabilities::ALL);
    for number in [libc::SYS_mount, libc::SYS_unshare, libc::SYS_clone3, libc::SYS_reboot, libc::SYS_bpf] {
        assert_eq!(call(&filter, number, &[libc::CLONE_NEWUSER as u64]), ALLOW, "call {number}");
    }
    assert_eq!(call(&filter, libc::SYS_clone, &[libc::CLONE_NEWUSER as u64]), ALLOW);
    assert_eq!(call(&filter, libc::SYS_keyctl, &[]), EPERM);
}

#[test]
fn programs_of_32_bits_have_their_own_table_and_others_are_killed() {
    let filter = Filter::for_capabilities(DEFAULT);
    let old = |number, arguments: &[u64]| run(&filter, program::AUDIT_ARCH_I386, number, arguments);
    // 11 execve, 120 clone, 310 unshare, 286 add_key
    assert_eq!(old(11, &[]), ALLOW);
    assert_eq!(old(120, &[libc::CLONE_NEWUSER as u64]), EPERM);
    assert_eq!((old(310, &[]), old(286, &[])), (EPERM, EPERM));
    assert_eq!(run(&filter, 0xc000_00b7, 0, &[]), libc::SECCOMP_RET_KILL_PROCESS);
}

#[test]
fn every_number_of_the_profile_is_reached_through_the_tree() {
    let filter = Filter::for_capabilities(DEFAULT);
    let table = profile::actions(DEFAULT, profile::Architecture::X86_64);
    let newest = *table.keys().next_back().unwrap();
    for number in 0..=newest {
        let want = match table.get(&number) {
            Some(profile::Action::Always(profile::Verdict::Allow)) => ALLOW,
            Some(profile::Action::Always(profile::Verdict::Errno(errno))) => {
                libc::SECCOMP_RET_ERRNO | u32::from(*errno)
            }
            Some(profile::Action::When(_)) => continue,
            None => EPERM,
        };
        assert_eq!(run(&filter, program::AUDIT_ARCH_X86_64, number, &[]), want, "call {number}");
    }
    assert!(filter.instructions.len() < 2000, "{} instructions", filter.instructions.len());
}
