//! Tokens of listings and of readings. Opaque to clients, checked when they come back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cove_logs::{Direction, Place, Position};
use sha2::{Digest, Sha256};

use super::error::LogsError;

/// The longest listing page of this service, and its usual one.
const PAGE_MAX: usize = 50;

/// A page of sorted places and the token of the next.
pub(super) fn page<T>(
    kind: &str,
    asked: Option<i64>,
    token: Option<&str>,
    descending: bool,
    items: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), LogsError> {
    let limit = asked.map_or(Ok(PAGE_MAX), |asked| {
        usize::try_from(asked)
            .ok()
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or_else(|| LogsError::parameter(format!("limit must be between 1 and {PAGE_MAX}")))
    })?;
    let after = token.map(|token| read_place(kind, token)).transpose()?;
    let behind = |place: &str| match &after {
        None => true,
        Some(after) if descending => place < after.as_str(),
        Some(after) => place > after.as_str(),
    };
    let mut rest = items.into_iter().filter(|(place, _)| behind(place));
    let (places, page): (Vec<String>, Vec<T>) = rest.by_ref().take(limit).unzip();
    let next = rest.next().and(places.last()).map(|place| write_place(kind, place));
    Ok((page, next))
}

/// A place in an order, as text.
pub(super) fn write_place(kind: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}\0{place}"))
}

pub(super) fn read_place(kind: &str, token: &str) -> Result<String, LogsError> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.split_once('\0')).filter(|(found, _)| *found == kind);
    place.map(|(_, place)| place.to_owned()).ok_or(LogsError::BadToken)
}

/// Where a reading goes on: in the order of arrival, or by time where that is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Position(Position),
    Place(Place),
}

/// `f/` or `b/` and 56 digits, as AWS's: segment, offset, and a check that ties them to the stream. A place begins with
/// 1 and has its time before them; no segment has so great a number.
pub(super) fn write_at(direction: Direction, directory: &str, at: At) -> String {
    let letter = match direction {
        Direction::Forward => 'f',
        Direction::Backward => 'b',
    };
    match at {
        At::Position(at) => format!("{letter}/{:018}{:018}{:020}", at.segment, at.offset, check(directory, at)),
        At::Place(Place { time_ms, position }) => {
            let time = time_ms.clamp(0, TIME_MAX);
            let (segment, offset) = (position.segment.min(SEGMENT_MAX), position.offset.min(OFFSET_MAX));
            let tied = check(&format!("{directory}@{time}"), Position { segment, offset });
            format!("{letter}/1{time:013}{segment:012}{offset:010}{tied:020}")
        }
    }
}

/// The year 2286.
const TIME_MAX: i64 = 9_999_999_999_999;
const SEGMENT_MAX: u64 = 999_999_999_999;
const OFFSET_MAX: u64 = 9_999_999_999;

pub(super) fn read_at(directory: &str, token: &str) -> Result<(Direction, At), LogsError> {
    let direction = match token.get(..2) {
        Some("f/") => Direction::Forward,
        Some("b/") => Direction::Backward,
        Some(_) | None => return Err(LogsError::BadToken),
    };
    let digits = &token[2..];
    if digits.len() != 56 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LogsError::BadToken);
    }
    let number = |range: std::ops::Range<usize>| digits[range].parse::<u64>().map_err(|_| LogsError::BadToken);
    let tied = number(36..56)?;
    let (at, wanted) = if digits.starts_with('1') {
        let position = Position { segment: number(14..26)?, offset: number(26..36)? };
        let time = number(1..14)?;
        let time_ms = i64::try_from(time).map_err(|_| LogsError::BadToken)?;
        (At::Place(Place { time_ms, position }), check(&format!("{directory}@{time}"), position))
    } else {
        let at = Position { segment: number(0..18)?, offset: number(18..36)? };
        (At::Position(at), check(directory, at))
    };
    if tied == wanted { Ok((direction, at)) } else { Err(LogsError::BadToken) }
}

fn check(directory: &str, at: Position) -> u64 {
    let digest = Sha256::digest(format!("{directory}/{}/{}", at.segment, at.offset));
    digest.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}
