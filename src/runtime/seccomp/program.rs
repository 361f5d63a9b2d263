//! Tables of actions into a classic BPF program.
//!
//! ```text
//! architecture? → section; unknown → kill
//! section: number above the newest → ENOSYS; binary tree over ranges of numbers → verdict, or tests of arguments
//! ```

use std::collections::BTreeMap;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, sock_filter,
};

use super::profile::{Action, Comparison, Condition, Verdict};

pub(super) const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
pub(super) const AUDIT_ARCH_I386: u32 = 0x4000_0003;

/// Offsets in `struct seccomp_data`.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

const DEFAULT: Verdict = Verdict::Errno(1);
const UNKNOWN: Verdict = Verdict::Errno(38);

/// The whole program: one section per architecture.
pub(super) fn assemble(sections: &[(u32, BTreeMap<u32, Action>)]) -> Vec<sock_filter> {
    let mut program = vec![load(OFFSET_ARCHITECTURE)];
    for (architecture, table) in sections {
        let body = section(table);
        // Not this one: over the body, which is longer than a conditional jump reaches.
        program.push(jump(BPF_JEQ, *architecture, 1, 0));
        program.push(always(body.len()));
        program.extend(body);
    }
    program.push(statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    program
}

fn section(table: &BTreeMap<u32, Action>) -> Vec<sock_filter> {
    let newest = table.keys().next_back().copied().unwrap_or(0);
    let mut program = vec![load(OFFSET_NUMBER), jump(BPF_JGT, newest, 0, 1), verdict(UNKNOWN)];
    program.extend(tree(&ranges(table)));
    program
}

/// Neighbours with the same fate are one range, beginning at the given number.
fn ranges(table: &BTreeMap<u32, Action>) -> Vec<(u32, Action)> {
    let newest = table.keys().next_back().copied().unwrap_or(0);
    let mut ranges: Vec<(u32, Action)> = Vec::new();
    for number in 0..=newest {
        let action = table.get(&number).cloned().unwrap_or(Action::Always(DEFAULT));
        if ranges.last().is_none_or(|(_, last)| *last != action) {
            ranges.push((number, action));
        }
    }
    ranges
}

fn tree(ranges: &[(u32, Action)]) -> Vec<sock_filter> {
    match ranges {
        [] => vec![verdict(DEFAULT)],
        [(_, action)] => leaf(action),
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let (low, first_high, high) = (tree(low), high[0].0, tree(high));
            let mut program = match u8::try_from(low.len()) {
                Ok(reach) => vec![jump(BPF_JGE, first_high, reach, 0)],
                Err(_) => vec![jump(BPF_JGE, first_high, 0, 1), always(low.len())],
            };
            program.extend(low);
            program.extend(high);
            program
        }
    }
}

fn leaf(action: &Action) -> Vec<sock_filter> {
    match action {
        Action::Always(one) => vec![verdict(*one)],
        Action::When(list) => {
            let mut program: Vec<sock_filter> =
                list.iter().flat_map(|(condition, one)| test(condition, *one)).collect();
            program.push(verdict(DEFAULT));
            program
        }
    }
}

/// Falls through when the condition does not hold. Arguments are 64 bits wide, the machine 32: low word, then high.
fn test(condition: &Condition, then: Verdict) -> Vec<sock_filter> {
    let low = OFFSET_ARGUMENTS + 8 * condition.argument;
    let high = low + 4;
    match condition.comparison {
        Comparison::Equal(value) => vec![
            load(low),
            jump(BPF_JEQ, half(value), 0, 3),
            load(high),
            jump(BPF_JEQ, half(value >> 32), 0, 1),
            verdict(then),
        ],
        Comparison::NotEqual(value) => vec![
            load(low),
            jump(BPF_JEQ, half(value), 0, 2),
            load(high),
            jump(BPF_JEQ, half(value >> 32), 1, 0),
            verdict(then),
        ],
        Comparison::MaskedEqual { mask, value } => vec![
            load(low),
            statement(BPF_ALU | BPF_AND | BPF_K, half(mask)),
            jump(BPF_JEQ, half(value), 0, 4),
            load(high),
            statement(BPF_ALU | BPF_AND | BPF_K, half(mask >> 32)),
            jump(BPF_JEQ, half(value >> 32), 0, 1),
            verdict(then),
        ],
    }
}

fn half(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).expect("masked to 32 bits")
}

fn verdict(of: Verdict) -> sock_filter {
    let value = match of {
        Verdict::Allow => SECCOMP_RET_ALLOW,
        Verdict::Errno(number) => SECCOMP_RET_ERRNO | u32::from(number),
    };
    statement(BPF_RET | BPF_K, value)
}

fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

fn always(over: usize) -> sock_filter {
    statement(BPF_JMP | BPF_JA, u32::try_from(over).expect("a program has at most 4096 instructions"))
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: opcode(code), jt: 0, jf: 0, k }
}

fn jump(kind: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: opcode(BPF_JMP | kind | BPF_K), jt, jf, k }
}

fn opcode(code: u32) -> u16 {
    u16::try_from(code).expect("opcodes are 16 bits wide")
}
