//! The parser: recursive descent, one function per level of the grammar.

use super::pattern::Pattern;
use super::scan::{Scanner, Token};
use super::value::{Relation, Value};
use super::{BadExpression, EXPRESSION_BYTES_MAX, Node, Subject, Test};

/// Parentheses and negations within each other: people write two or three, and each costs stack.
const DEPTH_MAX: usize = 32;

/// Reads the whole text.
pub(super) fn parse(text: &str) -> Result<Node, BadExpression> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(BadExpression::TooLong);
    }
    let mut scanner = Scanner::new(text);
    let node = any(&mut scanner, DEPTH_MAX)?;
    match scanner.next()? {
        None => Ok(node),
        Some(token) => Err(scanner.unexpected(name(&token))),
    }
}

fn any(scanner: &mut Scanner<'_>, depth: usize) -> Result<Node, BadExpression> {
    let mut nodes = vec![all(scanner, depth)?];
    while takes(scanner, "or", "||")? {
        nodes.push(all(scanner, depth)?);
    }
    Ok(joined(nodes, Node::Any))
}

fn all(scanner: &mut Scanner<'_>, depth: usize) -> Result<Node, BadExpression> {
    let mut nodes = vec![one(scanner, depth)?];
    while takes(scanner, "and", "&&")? {
        nodes.push(one(scanner, depth)?);
    }
    Ok(joined(nodes, Node::All))
}

fn joined(mut nodes: Vec<Node>, join: impl Fn(Vec<Node>) -> Node) -> Node {
    match (nodes.len(), nodes.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            nodes.extend(last);
            join(nodes)
        }
    }
}

fn one(scanner: &mut Scanner<'_>, depth: usize) -> Result<Node, BadExpression> {
    let depth = depth.checked_sub(1).ok_or(BadExpression::TooDeep)?;
    match scanner.next()? {
        None => Err(scanner.unfinished()),
        Some(Token::Sign("!")) => Ok(Node::Not(Box::new(one(scanner, depth)?))),
        Some(Token::Word(word)) if word == "not" => Ok(Node::Not(Box::new(one(scanner, depth)?))),
        Some(Token::Sign("(")) => {
            let node = any(scanner, depth)?;
            expect(scanner, ")")?;
            Ok(node)
        }
        Some(Token::Word(word)) => clause(scanner, &word),
        Some(token) => Err(scanner.unexpected(name(&token))),
    }
}

/// Takes the token if it is the word or the sign.
fn takes(scanner: &mut Scanner<'_>, word: &str, sign: &str) -> Result<bool, BadExpression> {
    let is_it = match scanner.peek()? {
        Some(Token::Word(found)) => found == word,
        Some(Token::Sign(found)) => found == sign,
        Some(Token::Quoted(_)) | None => false,
    };
    if is_it {
        scanner.next()?;
    }
    Ok(is_it)
}

fn expect(scanner: &mut Scanner<'_>, sign: &str) -> Result<(), BadExpression> {
    match scanner.next()? {
        Some(Token::Sign(found)) if found == sign => Ok(()),
        Some(token) => Err(scanner.unexpected(name(&token))),
        None => Err(scanner.unfinished()),
    }
}

/// The operators, each with its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is(Relation),
    IsNot,
    Exists,
    NotExists,
    In,
    NotIn,
    Matches,
    NotMatches,
}

/// Sign, word, meaning.
const OPERATORS: [(&str, &str, Operator); 12] = [
    ("==", "equals", Operator::Is(Relation::Equal)),
    ("!=", "not_equals", Operator::IsNot),
    (">", "greater_than", Operator::Is(Relation::Greater)),
    (">=", "greater_than_equal", Operator::Is(Relation::GreaterOrEqual)),
    ("<", "less_than", Operator::Is(Relation::Less)),
    ("<=", "less_than_equal", Operator::Is(Relation::LessOrEqual)),
    ("exists", "exists", Operator::Exists),
    ("!exists", "not_exists", Operator::NotExists),
    ("in", "in", Operator::In),
    ("!in", "not_in", Operator::NotIn),
    ("=~", "matches", Operator::Matches),
    ("!~", "not_matches", Operator::NotMatches),
];

fn clause(scanner: &mut Scanner<'_>, subject: &str) -> Result<Node, BadExpression> {
    let subject = self::subject(subject)?;
    let (word, operator) = operator(scanner)?;
    if !allows(&subject, operator) {
        return Err(BadExpression::Operator { operator: word, subject: subject.name() });
    }
    let (test, negated) = match operator {
        Operator::Exists => (Test::Exists, false),
        Operator::NotExists => (Test::Exists, true),
        Operator::Is(relation) => (Test::Is(relation, value(scanner, &subject)?), false),
        Operator::IsNot => (Test::Is(Relation::Equal, value(scanner, &subject)?), true),
        Operator::In => (Test::In(list(scanner)?), false),
        Operator::NotIn => (Test::In(list(scanner)?), true),
        Operator::Matches => (Test::Matches(pattern(scanner)?), false),
        Operator::NotMatches => (Test::Matches(pattern(scanner)?), true),
    };
    let clause = Node::Clause(subject, test);
    Ok(if negated { Node::Not(Box::new(clause)) } else { clause })
}

fn subject(text: &str) -> Result<Subject, BadExpression> {
    match text {
        "agentConnected" => Ok(Subject::AgentConnected),
        "agentVersion" => Ok(Subject::AgentVersion),
        "ec2InstanceId" => Ok(Subject::Ec2InstanceId),
        "registeredAt" => Ok(Subject::RegisteredAt),
        "runningTasksCount" => Ok(Subject::RunningTasksCount),
        "task:group" => Ok(Subject::TaskGroup),
        _ => match text.strip_prefix("attribute:") {
            Some(name) if !name.is_empty() => Ok(Subject::Attribute(name.to_owned())),
            Some(_) | None => Err(BadExpression::Subject(text.to_owned())),
        },
    }
}

impl Subject {
    fn name(&self) -> String {
        match self {
            Self::AgentConnected => "agentConnected".to_owned(),
            Self::AgentVersion => "agentVersion".to_owned(),
            Self::Attribute(name) => format!("attribute:{name}"),
            Self::Ec2InstanceId => "ec2InstanceId".to_owned(),
            Self::RegisteredAt => "registeredAt".to_owned(),
            Self::RunningTasksCount => "runningTasksCount".to_owned(),
            Self::TaskGroup => "task:group".to_owned(),
        }
    }
}

/// ECS's table of valid operators.
fn allows(subject: &Subject, operator: Operator) -> bool {
    let is_equality = matches!(operator, Operator::Is(Relation::Equal) | Operator::IsNot);
    match subject {
        Subject::Attribute(_) => true,
        Subject::AgentConnected | Subject::Ec2InstanceId | Subject::TaskGroup => match operator {
            Operator::In | Operator::NotIn | Operator::Matches | Operator::NotMatches => true,
            Operator::Is(_) | Operator::IsNot | Operator::Exists | Operator::NotExists => is_equality,
        },
        Subject::AgentVersion | Subject::RegisteredAt | Subject::RunningTasksCount => {
            matches!(operator, Operator::Is(_) | Operator::IsNot)
        }
    }
}

fn operator(scanner: &mut Scanner<'_>) -> Result<(&'static str, Operator), BadExpression> {
    let token = scanner.next()?.ok_or_else(|| scanner.unfinished())?;
    let found = match &token {
        Token::Sign(sign) => OPERATORS.iter().find(|(own, ..)| own == sign),
        Token::Word(word) => OPERATORS.iter().find(|(_, own, _)| own == word),
        Token::Quoted(_) => None,
    };
    found.map(|(sign, _, operator)| (*sign, *operator)).ok_or_else(|| scanner.unexpected(name(&token)))
}

fn literal(scanner: &mut Scanner<'_>) -> Result<String, BadExpression> {
    match scanner.next()? {
        Some(Token::Word(text) | Token::Quoted(text)) => Ok(text),
        Some(token) => Err(scanner.unexpected(name(&token))),
        None => Err(scanner.unfinished()),
    }
}

fn value(scanner: &mut Scanner<'_>, subject: &Subject) -> Result<Value, BadExpression> {
    let text = literal(scanner)?;
    let (value, kind) = match subject {
        Subject::AgentConnected | Subject::Attribute(_) | Subject::Ec2InstanceId | Subject::TaskGroup => {
            return Ok(Value::Text(text));
        }
        Subject::AgentVersion => (Value::version(&text), "version"),
        Subject::RegisteredAt => (Value::date(&text), "date"),
        Subject::RunningTasksCount => (Value::number(&text), "number"),
    };
    value.ok_or(BadExpression::Value { value: text, kind })
}

fn list(scanner: &mut Scanner<'_>) -> Result<Vec<String>, BadExpression> {
    expect(scanner, "[")?;
    let mut values = vec![literal(scanner)?];
    loop {
        match scanner.next()? {
            Some(Token::Sign(",")) => values.push(literal(scanner)?),
            Some(Token::Sign("]")) => return Ok(values),
            Some(token) => return Err(scanner.unexpected(name(&token))),
            None => return Err(scanner.unfinished()),
        }
    }
}

fn pattern(scanner: &mut Scanner<'_>) -> Result<Pattern, BadExpression> {
    let text = scanner.pattern()?.ok_or_else(|| scanner.unfinished())?;
    Pattern::new(&text).ok_or(BadExpression::Pattern(text))
}

fn name(token: &Token) -> String {
    match token {
        Token::Sign(sign) => (*sign).to_owned(),
        Token::Word(text) => text.clone(),
        Token::Quoted(text) => format!("\"{text}\""),
    }
}
