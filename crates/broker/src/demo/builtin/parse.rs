//! The few statements that the stand-in understands.

/// Why a statement is not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sorry(pub(super) String);

/// One statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Statement {
    Select(Select),
    /// `UPDATE … SET column = column ± number WHERE id = n`
    Update {
        table: String,
        column: String,
        value: Expr,
        filter: Filter,
    },
    /// Transactions and settings: acknowledged by their tag, and without effect.
    Acknowledge(&'static str),
    /// A question about the catalog, by its text.
    Catalog(super::catalog::Question),
}

/// `SELECT … FROM … WHERE … LIMIT …`
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Select {
    /// `None` is `*`.
    pub(super) items: Vec<Option<(Expr, Option<String>)>>,
    pub(super) from: Option<Source>,
    pub(super) filter: Option<Filter>,
    pub(super) limit: Option<usize>,
}

/// Where rows come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    Table(String),
    Select(Box<Select>),
}

/// A value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Expr {
    Column(String),
    Text(String),
    Number(String),
    Null,
    /// `count(*)`
    Count,
    Plus(Box<Self>, Box<Self>),
    Minus(Box<Self>, Box<Self>),
}

/// `column = value`
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Filter {
    pub(super) column: String,
    pub(super) value: Expr,
}

/// Reads one statement.
pub(super) fn statement(text: &str) -> Result<Statement, Sorry> {
    if let Some(question) = super::catalog::question(text) {
        return Ok(Statement::Catalog(question));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let statement = parser.statement()?;
    if parser.peek().is_some() { Err(parser.sorry()) } else { Ok(statement) }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    /// Unquoted, in lower case.
    Word(String),
    /// Between double quotes.
    Name(String),
    Text(String),
    Number(String),
    Sign(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, Sorry> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_whitespace() => {}
            '\'' | '"' => {
                let mut inside = String::new();
                loop {
                    match chars.next() {
                        Some(next) if next == c && chars.next_if_eq(&c).is_some() => inside.push(c),
                        Some(next) if next == c => break,
                        Some(next) => inside.push(next),
                        None => return Err(Sorry("a quote is not closed".to_owned())),
                    }
                }
                tokens.push(if c == '"' { Token::Name(inside) } else { Token::Text(inside) });
            }
            _ if c.is_ascii_digit() => {
                let mut number = c.to_string();
                while let Some(next) = chars.next_if(|next| next.is_ascii_digit() || *next == '.') {
                    number.push(next);
                }
                tokens.push(Token::Number(number));
            }
            _ if c.is_alphabetic() || c == '_' => {
                let mut word = c.to_string();
                while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || *next == '_') {
                    word.push(next);
                }
                tokens.push(Token::Word(word.to_lowercase()));
            }
            _ => tokens.push(Token::Sign(c)),
        }
    }
    while tokens.last() == Some(&Token::Sign(';')) {
        tokens.pop();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

/// How deep sub-selects and sums may be nested.
const DEPTH: usize = 8;

impl Parser {
    fn statement(&mut self) -> Result<Statement, Sorry> {
        if self.word("select") {
            return self.select(0).map(Statement::Select);
        }
        if self.word("update") {
            return self.update();
        }
        for (first, tag) in
            [("set", "SET"), ("begin", "BEGIN"), ("commit", "COMMIT"), ("rollback", "ROLLBACK"), ("start", "BEGIN")]
        {
            if self.word(first) {
                self.at = self.tokens.len();
                return Ok(Statement::Acknowledge(tag));
            }
        }
        Err(self.sorry())
    }

    fn select(&mut self, depth: usize) -> Result<Select, Sorry> {
        if depth > DEPTH {
            return Err(self.sorry());
        }
        let mut items = vec![self.item()?];
        while self.sign(',') {
            items.push(self.item()?);
        }
        let from = if self.word("from") { Some(self.source(depth)?) } else { None };
        let filter = if self.word("where") { Some(self.filter()?) } else { None };
        if self.word("order") {
            // Rows are kept in the order of their ids, which is the only one there is.
            self.expect_words(&["by", "id"])?;
        }
        let limit = if self.word("limit") { Some(self.count()?) } else { None };
        Ok(Select { items, from, filter, limit })
    }

    fn item(&mut self) -> Result<Option<(Expr, Option<String>)>, Sorry> {
        if self.sign('*') {
            return Ok(None);
        }
        let value = self.sum()?;
        let name = if self.word("as") { Some(self.name()?) } else { None };
        Ok(Some((value, name)))
    }

    fn source(&mut self, depth: usize) -> Result<Source, Sorry> {
        let source = if self.sign('(') {
            self.expect_words(&["select"])?;
            let inner = self.select(depth.saturating_add(1))?;
            self.expect(')')?;
            Source::Select(Box::new(inner))
        } else {
            Source::Table(self.path()?)
        };
        let keyword = |token: &Token| matches!(token, Token::Word(word) if ["where", "order", "limit", "group", "set"].contains(&word.as_str()));
        if self.word("as")
            || self.peek().is_some_and(|next| matches!(next, Token::Word(_) | Token::Name(_)) && !keyword(next))
        {
            self.name()?;
        }
        Ok(source)
    }

    fn update(&mut self) -> Result<Statement, Sorry> {
        let table = self.path()?;
        self.expect_words(&["set"])?;
        let column = self.name()?;
        self.expect('=')?;
        let value = self.sum()?;
        self.expect_words(&["where"])?;
        let filter = self.filter()?;
        Ok(Statement::Update { table, column, value, filter })
    }

    fn filter(&mut self) -> Result<Filter, Sorry> {
        let column = self.path()?;
        self.expect('=')?;
        Ok(Filter { column, value: self.value()? })
    }

    fn sum(&mut self) -> Result<Expr, Sorry> {
        let mut sum = self.value()?;
        for _ in 0..DEPTH {
            if self.sign('+') {
                sum = Expr::Plus(Box::new(sum), Box::new(self.value()?));
            } else if self.sign('-') {
                sum = Expr::Minus(Box::new(sum), Box::new(self.value()?));
            } else {
                return Ok(sum);
            }
        }
        Err(self.sorry())
    }

    fn value(&mut self) -> Result<Expr, Sorry> {
        let value = match self.peek().cloned() {
            Some(Token::Text(text)) => {
                self.at = self.at.saturating_add(1);
                Expr::Text(text)
            }
            Some(Token::Number(number)) => {
                self.at = self.at.saturating_add(1);
                Expr::Number(number)
            }
            Some(Token::Word(word)) if word == "null" => {
                self.at = self.at.saturating_add(1);
                Expr::Null
            }
            Some(Token::Word(word)) if word == "count" => {
                self.at = self.at.saturating_add(1);
                self.expect('(')?;
                self.expect('*')?;
                self.expect(')')?;
                Expr::Count
            }
            Some(Token::Word(_) | Token::Name(_)) => Expr::Column(self.path()?),
            Some(Token::Sign(_)) | None => return Err(self.sorry()),
        };
        while self.sign(':') {
            self.expect(':')?;
            self.path()?;
        }
        Ok(value)
    }

    /// A name with its qualifiers; the last part counts.
    fn path(&mut self) -> Result<String, Sorry> {
        let mut name = self.name()?;
        while self.sign('.') {
            name = self.name()?;
        }
        Ok(name)
    }

    fn name(&mut self) -> Result<String, Sorry> {
        match self.peek().cloned() {
            Some(Token::Word(name) | Token::Name(name)) => {
                self.at = self.at.saturating_add(1);
                Ok(name)
            }
            Some(Token::Text(_) | Token::Number(_) | Token::Sign(_)) | None => Err(self.sorry()),
        }
    }

    fn count(&mut self) -> Result<usize, Sorry> {
        let count = match self.peek() {
            Some(Token::Number(number)) => number.parse().ok(),
            _ => None,
        };
        self.at = self.at.saturating_add(1);
        count.ok_or_else(|| self.sorry())
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn word(&mut self, word: &str) -> bool {
        self.take(|token| matches!(token, Token::Word(found) if found == word))
    }

    fn sign(&mut self, sign: char) -> bool {
        self.take(|token| *token == Token::Sign(sign))
    }

    fn take(&mut self, is: impl Fn(&Token) -> bool) -> bool {
        let taken = self.peek().is_some_and(is);
        if taken {
            self.at = self.at.saturating_add(1);
        }
        taken
    }

    fn expect(&mut self, sign: char) -> Result<(), Sorry> {
        if self.sign(sign) { Ok(()) } else { Err(self.sorry()) }
    }

    fn expect_words(&mut self, words: &[&str]) -> Result<(), Sorry> {
        if words.iter().all(|word| self.word(word)) { Ok(()) } else { Err(self.sorry()) }
    }

    fn sorry(&self) -> Sorry {
        Sorry(
            "the demo's built-in database answers a few statements only; install PostgreSQL for all of them".to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn a_masked_select_reads_as_one() {
        let text = r#"SELECT id, name, email FROM (SELECT "id", "name", '***'::text AS "email" FROM "public"."customers") AS "customers" LIMIT 3"#;
        let Statement::Select(select) = statement(text).unwrap() else { panic!("a select") };
        assert_eq!(select.items.len(), 3);
        assert_eq!(select.limit, Some(3));
        let Some(Source::Select(inner)) = select.from else { panic!("a sub-select") };
        assert_eq!(inner.from, Some(Source::Table("customers".to_owned())));
        assert_eq!(inner.items.last(), Some(&Some((Expr::Text("***".to_owned()), Some("email".to_owned())))));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for text in [
            "",
            "DROP TABLE customers",
            "SELECT",
            "SELECT a FROM t WHERE a > 1",
            "DELETE FROM orders",
            "SELECT 'x",
            "SELECT 1 2 3",
        ] {
            assert!(statement(text).is_err(), "{text}");
        }
        let deep = "SELECT * FROM (".repeat(100);
        assert!(statement(&deep).is_err());
    }
}
