//! The demo's tables in memory, and what the statements do to them.

use std::sync::{Mutex, PoisonError};

use super::catalog;
use super::parse::{Expr, Filter, Select, Sorry, Source, Statement};
use crate::demo::data::{CUSTOMERS, ORDERS};

/// The types that values have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Int,
    BigInt,
    Text,
    /// Two places after the point.
    Money,
    Oid,
    SmallInt,
    Bool,
}

/// One value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
    /// In hundredths.
    Money(i64),
    Bool(bool),
}

/// The columns and rows of an answer, or the tag of what was done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) columns: Vec<(String, Kind)>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// For what gives no rows: its tag, and how many rows it changed.
    pub(super) done: Option<(&'static str, Option<usize>)>,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Engine {
    tables: Mutex<Vec<Table>>,
}

/// One table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    rows: Vec<Vec<Cell>>,
}

/// The demo's tables, as the catalog lists them.
pub(super) const COLUMNS: [(&str, &[(&str, Kind)]); 2] = [
    (
        "customers",
        &[("id", Kind::Int), ("name", Kind::Text), ("email", Kind::Text), ("ssn", Kind::Text), ("notes", Kind::Text)],
    ),
    ("orders", &[("id", Kind::Int), ("customer_id", Kind::Int), ("item", Kind::Text), ("total", Kind::Money)]),
];

impl Cell {
    /// The value as PostgreSQL writes it; `None` is NULL.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Int(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::Money(cents) => {
                let sign = if *cents < 0 { "-" } else { "" };
                Some(format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100))
            }
            Self::Bool(flag) => Some(if *flag { "t" } else { "f" }.to_owned()),
        }
    }

    fn money(text: &str) -> Option<i64> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let part = format!("{part:0<2}");
        whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(part.get(..2)?.parse().ok()?)
    }
}

impl Engine {
    pub(super) fn new() -> Self {
        let text = |text: &str| Cell::Text(text.to_owned());
        let customers = CUSTOMERS.iter().map(|c| {
            vec![Cell::Int(c.id.into()), text(c.name), text(c.email), text(c.ssn), c.notes.map_or(Cell::Null, text)]
        });
        let orders = ORDERS.iter().map(|o| {
            let total = Cell::money(o.total).map_or(Cell::Null, Cell::Money);
            vec![Cell::Int(o.id.into()), Cell::Int(o.customer.into()), text(o.item), total]
        });
        let rows = [customers.collect(), orders.collect()];
        let tables =
            COLUMNS.iter().zip(rows).map(|((name, columns), rows): (_, Vec<Vec<Cell>>)| Table { name, columns, rows });
        Self { tables: Mutex::new(tables.collect()) }
    }

    /// Runs a statement.
    pub(super) fn run(&self, statement: &Statement) -> Result<Answer, Sorry> {
        match statement {
            Statement::Select(select) => self.select(select),
            Statement::Acknowledge(tag) => Ok(Answer { done: Some((tag, None)), ..Answer::default() }),
            Statement::Catalog(question) => Ok(catalog::answer(*question)),
            Statement::Update { table, column, value, filter } => self.update(table, column, value, filter),
        }
    }

    /// The columns a statement gives, without running it.
    pub(super) fn columns(&self, statement: &Statement) -> Result<Vec<(String, Kind)>, Sorry> {
        match statement {
            Statement::Select(_) | Statement::Catalog(_) => Ok(self.run(statement)?.columns),
            Statement::Update { .. } | Statement::Acknowledge(_) => Ok(Vec::new()),
        }
    }

    fn select(&self, select: &Select) -> Result<Answer, Sorry> {
        let from = match &select.from {
            None => Answer { rows: vec![Vec::new()], ..Answer::default() },
            Some(Source::Select(inner)) => self.select(inner)?,
            Some(Source::Table(name)) => {
                let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
                let table = tables.iter().find(|table| table.name == name).ok_or_else(|| no_table(name))?;
                let columns = table.columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
                Answer { columns, rows: table.rows.clone(), done: None }
            }
        };
        let mut rows = Vec::new();
        for row in &from.rows {
            if matches(select.filter.as_ref(), &from.columns, row)? {
                rows.push(row.clone());
            }
        }
        project(select, &from.columns, &rows)
    }

    fn update(&self, table: &str, column: &str, value: &Expr, filter: &Filter) -> Result<Answer, Sorry> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables.iter_mut().find(|known| known.name == table).ok_or_else(|| no_table(table))?;
        let columns: Vec<(String, Kind)> =
            table.columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let place = position(&columns, column)?;
        let mut changed = 0_usize;
        for row in &mut table.rows {
            if matches(Some(filter), &columns, row)? {
                let (fresh, _) = evaluate(value, &columns, row)?;
                if let Some(cell) = row.get_mut(place) {
                    *cell = fresh;
                    changed = changed.saturating_add(1);
                }
            }
        }
        Ok(Answer { done: Some(("UPDATE", Some(changed))), ..Answer::default() })
    }
}

fn no_table(name: &str) -> Sorry {
    Sorry(format!("relation \"{name}\" does not exist"))
}

fn position(columns: &[(String, Kind)], name: &str) -> Result<usize, Sorry> {
    let found = columns.iter().position(|(known, _)| known == name);
    found.ok_or_else(|| Sorry(format!("column \"{name}\" does not exist")))
}

fn matches(filter: Option<&Filter>, columns: &[(String, Kind)], row: &[Cell]) -> Result<bool, Sorry> {
    let Some(filter) = filter else { return Ok(true) };
    let (wanted, _) = evaluate(&filter.value, columns, row)?;
    let cell = row.get(position(columns, &filter.column)?).unwrap_or(&Cell::Null);
    Ok(*cell != Cell::Null && cell.text() == wanted.text())
}

fn project(select: &Select, columns: &[(String, Kind)], rows: &[Vec<Cell>]) -> Result<Answer, Sorry> {
    if let [Some((Expr::Count, name))] = select.items.as_slice() {
        let name = name.clone().unwrap_or_else(|| "count".to_owned());
        let count = Cell::Int(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        return Ok(Answer { columns: vec![(name, Kind::BigInt)], rows: vec![vec![count]], done: None });
    }
    let empty: Vec<Cell> = columns.iter().map(|_| Cell::Null).collect();
    let mut answer = Answer { columns: shape(select, columns, &empty)?, ..Answer::default() };
    for row in rows.iter().take(select.limit.unwrap_or(usize::MAX)) {
        let mut cells = Vec::new();
        for item in &select.items {
            match item {
                None => cells.extend(row.iter().cloned()),
                Some((value, _)) => cells.push(evaluate(value, columns, row)?.0),
            }
        }
        answer.rows.push(cells);
    }
    Ok(answer)
}

fn shape(select: &Select, columns: &[(String, Kind)], row: &[Cell]) -> Result<Vec<(String, Kind)>, Sorry> {
    let mut shape = Vec::new();
    for item in &select.items {
        match item {
            None => shape.extend(columns.iter().cloned()),
            Some((value, name)) => {
                let own = match value {
                    Expr::Column(column) => column.clone(),
                    Expr::Text(_) | Expr::Number(_) | Expr::Null | Expr::Count | Expr::Plus(..) | Expr::Minus(..) => {
                        "?column?".to_owned()
                    }
                };
                shape.push((name.clone().unwrap_or(own), evaluate(value, columns, row)?.1));
            }
        }
    }
    Ok(shape)
}

fn evaluate(value: &Expr, columns: &[(String, Kind)], row: &[Cell]) -> Result<(Cell, Kind), Sorry> {
    match value {
        Expr::Column(name) => {
            let place = position(columns, name)?;
            let kind = columns.get(place).map_or(Kind::Text, |(_, kind)| *kind);
            Ok((row.get(place).cloned().unwrap_or(Cell::Null), kind))
        }
        Expr::Text(text) => Ok((Cell::Text(text.clone()), Kind::Text)),
        Expr::Null => Ok((Cell::Null, Kind::Text)),
        Expr::Number(number) => match number.parse::<i64>() {
            Ok(whole) => Ok((Cell::Int(whole), Kind::Int)),
            Err(_) => {
                let cents = Cell::money(number).ok_or_else(|| Sorry("that number is out of range".to_owned()))?;
                Ok((Cell::Money(cents), Kind::Money))
            }
        },
        Expr::Count => Err(Sorry("count(*) stands alone in the demo's built-in database".to_owned())),
        Expr::Plus(left, right) => sum(&evaluate(left, columns, row)?, &evaluate(right, columns, row)?, 1),
        Expr::Minus(left, right) => sum(&evaluate(left, columns, row)?, &evaluate(right, columns, row)?, -1),
    }
}

fn sum(left: &(Cell, Kind), right: &(Cell, Kind), sign: i64) -> Result<(Cell, Kind), Sorry> {
    let range = || Sorry("that number is out of range".to_owned());
    let cents = |cell: &Cell| match cell {
        Cell::Money(cents) => Some(*cents),
        Cell::Int(whole) => whole.checked_mul(100),
        Cell::Null | Cell::Text(_) | Cell::Bool(_) => None,
    };
    match (&left.0, &right.0) {
        (Cell::Null, _) | (_, Cell::Null) => Ok((Cell::Null, left.1)),
        (Cell::Int(l), Cell::Int(r)) => {
            let sum = r.checked_mul(sign).and_then(|r| l.checked_add(r)).ok_or_else(range)?;
            Ok((Cell::Int(sum), Kind::Int))
        }
        (l, r) => {
            let (l, r) = cents(l).zip(cents(r)).ok_or_else(range)?;
            let sum = r.checked_mul(sign).and_then(|r| l.checked_add(r)).ok_or_else(range)?;
            Ok((Cell::Money(sum), Kind::Money))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::parse::statement;
    use super::*;

    fn ask(engine: &Engine, sql: &str) -> Vec<Vec<String>> {
        let answer = engine.run(&statement(sql).unwrap()).unwrap();
        answer.rows.iter().map(|row| row.iter().map(|cell| cell.text().unwrap_or_default()).collect()).collect()
    }

    #[test]
    fn selects_and_updates() {
        let engine = Engine::new();
        assert_eq!(ask(&engine, "SELECT count(*) FROM customers"), [["6"]]);
        assert_eq!(ask(&engine, "SELECT item, total FROM orders WHERE id = 10"), [["walnut desk", "899.00"]]);
        assert_eq!(
            ask(&engine, "SELECT * FROM (SELECT id, '***'::text AS email FROM public.customers) c LIMIT 2"),
            [["1", "***"], ["2", "***"]]
        );
        let done = engine.run(&statement("UPDATE orders SET total = total - 10 WHERE id = 10").unwrap()).unwrap();
        assert_eq!(done.done, Some(("UPDATE", Some(1))));
        assert_eq!(ask(&engine, "SELECT total FROM orders WHERE id = 10"), [["889.00"]]);
        assert_eq!(ask(&engine, "SELECT 1"), [["1"]]);
        assert!(engine.run(&statement("SELECT nothing FROM orders").unwrap()).is_err());
    }
}
