//! Tables and sizes as people read them.

use comfy_table::{ContentArrangement, Table, presets};

/// Prints rows under a heading, columns aligned, no lines drawn.
pub(super) fn print(heading: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.to_string().lines() {
        super::say(line.trim_end());
    }
}

/// Bytes in binary units, as in `12.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Seconds as one unit, as in `3m` or `2d`.
pub(super) fn age(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "whole seconds are shown")]
    let whole = seconds.max(0.0) as i64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m", whole / 60),
        3600..86_400 => format!("{}h", whole / 3600),
        _ => format!("{}d", whole / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(13_107_200), "12.5 MiB");
        assert_eq!(age(59.9), "59s");
        assert_eq!(age(7_300.0), "2h");
    }
}
