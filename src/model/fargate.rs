//! The sizes of tasks that Fargate has.

const GIB: i64 = 1024;

/// Whether Fargate has a size of that cpu (1/1024 of a core) and memory (MiB).
#[must_use]
pub fn is_fargate_size(cpu: i64, memory_mib: i64) -> bool {
    let (least, most, step) = match cpu {
        256 => return matches!(memory_mib, 512 | 1024 | 2048),
        512 => (1, 4, 1),
        1024 => (2, 8, 1),
        2048 => (4, 16, 1),
        4096 => (8, 30, 1),
        8192 => (16, 60, 4),
        16384 => (32, 120, 8),
        _ => return false,
    };
    (least * GIB..=most * GIB).contains(&memory_mib) && memory_mib % (step * GIB) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fargate_has_exactly_the_documented_sizes() {
        for (cpu, memory) in
            [(256, 512), (512, 4096), (1024, 2048), (2048, 16384), (4096, 30720), (8192, 20480), (16384, 122_880)]
        {
            assert!(is_fargate_size(cpu, memory), "{cpu} {memory}");
        }
        for (cpu, memory) in [(256, 3072), (512, 512), (512, 1536), (8192, 17408), (16384, 36864), (300, 1024)] {
            assert!(!is_fargate_size(cpu, memory), "{cpu} {memory}");
        }
    }
}
