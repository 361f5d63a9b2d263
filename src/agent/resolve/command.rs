//! Which program a container runs, and which signal asks it to stop.

use cove_model::task_definition::ContainerDefinition;
use cove_model::task_override::ContainerOverride;

use super::{ImageDefaults, ResolveError};

/// SIGTERM: the stop signal of images that name none.
const SIGNAL_DEFAULT: i32 = 15;
/// The kernel's first and last real-time signal, as a C library shows them.
const SIGNAL_RT_MIN: i32 = 34;
const SIGNAL_RT_MAX: i32 = 64;

/// Entry point and command, by Docker's rule: an entry point in the definition forgets the image's command.
pub(super) fn args(
    definition: &ContainerDefinition,
    given: Option<&ContainerOverride>,
    image: &ImageDefaults,
) -> Result<Vec<String>, ResolveError> {
    let own_entry = !definition.entry_point.is_empty();
    let entry = if own_entry { &definition.entry_point } else { &image.entrypoint };
    let command = match given {
        Some(given) if !given.command.is_empty() => &given.command[..],
        _ if !definition.command.is_empty() => &definition.command[..],
        _ if own_entry => &[],
        _ => &image.cmd[..],
    };
    let args: Vec<String> = entry.iter().chain(command).cloned().collect();
    if args.first().is_none_or(String::is_empty) { Err(ResolveError::NoCommand) } else { Ok(args) }
}

/// The number of an image's `StopSignal`: `SIGINT`, `INT`, `2` or `SIGRTMIN+3`.
pub(super) fn stop_signal(text: Option<&str>) -> Result<i32, ResolveError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(SIGNAL_DEFAULT) };
    let bad = || ResolveError::StopSignal(text.to_owned());
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=SIGNAL_RT_MAX).contains(&number) { Ok(number) } else { Err(bad()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return offset(rest, '+').map(|by| SIGNAL_RT_MIN + by).filter(|n| *n <= SIGNAL_RT_MAX).ok_or_else(bad);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return offset(rest, '-').map(|by| SIGNAL_RT_MAX - by).filter(|n| *n >= SIGNAL_RT_MIN).ok_or_else(bad);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number).ok_or_else(bad)
}

fn offset(rest: &str, sign: char) -> Option<i32> {
    if rest.is_empty() {
        return Some(0);
    }
    rest.strip_prefix(sign)?.parse::<u8>().ok().map(i32::from)
}

/// Signal numbers are the same on x86-64 and arm64.
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn run(entry: &str, command: &str, given: &str) -> Result<String, ResolveError> {
        let image = ImageDefaults { entrypoint: words("/entry"), cmd: words("serve now"), ..Default::default() };
        let definition =
            ContainerDefinition { entry_point: words(entry), command: words(command), ..Default::default() };
        let given = ContainerOverride { command: words(given), ..Default::default() };
        args(&definition, Some(&given), &image).map(|args| args.join(" "))
    }

    #[test]
    fn override_beats_definition_beats_image() {
        assert_eq!(run("", "", ""), Ok("/entry serve now".into()));
        assert_eq!(run("", "other", ""), Ok("/entry other".into()));
        assert_eq!(run("", "other", "third"), Ok("/entry third".into()));
    }

    #[test]
    fn an_entry_point_of_the_definition_forgets_the_images_command() {
        assert_eq!(run("/mine", "", ""), Ok("/mine".into()));
        assert_eq!(run("/mine", "x", ""), Ok("/mine x".into()));
    }

    #[test]
    fn nothing_to_run_is_an_error() {
        let got = args(&ContainerDefinition::default(), None, &ImageDefaults::default());
        assert_eq!(got, Err(ResolveError::NoCommand));
    }

    #[test]
    fn stop_signals_have_names_numbers_and_offsets() {
        for (text, number) in [("SIGINT", 2), ("quit", 3), ("9", 9), ("SIGRTMIN+3", 37), ("RTMAX", 64)] {
            assert_eq!(stop_signal(Some(text)), Ok(number), "{text}");
        }
        assert_eq!(stop_signal(None), Ok(15));
        for text in ["SIGNOPE", "0", "65", "SIGRTMIN+99", "-1"] {
            assert!(stop_signal(Some(text)).is_err(), "{text}");
        }
    }
}
