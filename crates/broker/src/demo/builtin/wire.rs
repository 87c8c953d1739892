//! The stand-in as a PostgreSQL server.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{Sink, stream};
use pgwire::api::auth::{self, DefaultServerParameterProvider, ServerParameterProvider, StartupHandler};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{
    ClientInfo, ClientPortalStore, PgWireServerHandlers, PidSecretKeyGenerator as _, RandomPidSecretKeyGenerator, Type,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage as ToClient, PgWireFrontendMessage as FromClient};

use super::engine::{Answer, Cell, Engine, Kind};
use super::parse::{Sorry, Statement, statement};

/// The handlers of one server, shared by its connections.
pub(super) struct Handlers(Arc<Session>);

/// Answers statements.
struct Session {
    engine: Arc<Engine>,
    parser: Arc<Parser>,
}

/// Reads statements.
struct Parser {
    engine: Arc<Engine>,
}

impl Handlers {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        let parser = Arc::new(Parser { engine: Arc::clone(&engine) });
        Self(Arc::new(Session { engine, parser }))
    }
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::clone(&self.0)
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::clone(&self.0)
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::clone(&self.0)
    }
}

#[async_trait]
impl StartupHandler for Session {
    /// Everybody who reaches the loopback port is let in: there is nothing in it but invented people.
    async fn on_startup<C>(&self, client: &mut C, message: FromClient) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<ToClient> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<ToClient>>::Error>,
    {
        if let FromClient::Startup(startup) = message {
            auth::protocol_negotiation(client, &startup).await?;
            auth::save_startup_parameters_to_metadata(client, &startup);
            let (process, key) = RandomPidSecretKeyGenerator::default().generate(client);
            client.set_pid_and_secret_key(process, key);
            auth::finish_authentication(client, &Parameters).await?;
        }
        Ok(())
    }
}

/// What the server says of itself: the settings a client asked for, and those that cannot be others.
#[derive(Debug)]
struct Parameters;

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let mut told = DefaultServerParameterProvider::default();
        told.search_path = client.metadata().get("search_path").cloned().unwrap_or_default();
        told.is_superuser = false;
        told.server_parameters(client)
    }
}

fn refused(sorry: Sorry) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), "0A000".to_owned(), sorry.0)))
}

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn do_query<C>(&self, _: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<ToClient> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<ToClient>>::Error>,
    {
        let mut responses = Vec::new();
        // No text that is answered here holds a semicolon within quotes.
        for text in query.split(';').filter(|text| !text.trim().is_empty()) {
            let answer = self.engine.run(&statement(text).map_err(refused)?).map_err(refused)?;
            responses.push(response(&answer, &Format::UnifiedText)?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl QueryParser for Parser {
    type Statement = Arc<Statement>;

    async fn parse_sql<C>(&self, _: &C, sql: &str, _: &[Option<Type>]) -> PgWireResult<Option<Arc<Statement>>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Ok(Some(Arc::new(statement(sql).map_err(refused)?)))
    }

    fn get_parameter_types(&self, _: &Arc<Statement>) -> PgWireResult<Vec<Type>> {
        Ok(Vec::new())
    }

    fn get_result_schema(&self, asked: &Arc<Statement>, format: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let columns = self.engine.columns(asked).map_err(refused)?;
        Ok(fields(&columns, format.unwrap_or(&Format::UnifiedText)))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type QueryParser = Parser;
    type Statement = Arc<Statement>;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::clone(&self.parser)
    }

    async fn do_query<C>(&self, _: &mut C, portal: &Portal<Arc<Statement>>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<ToClient> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Statement>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<ToClient>>::Error>,
    {
        let answer = self.engine.run(&portal.statement.statement).map_err(refused)?;
        response(&answer, &portal.result_column_format)
    }
}

fn fields(columns: &[(String, Kind)], format: &Format) -> Vec<FieldInfo> {
    let field = |(index, (name, kind)): (usize, &(String, Kind))| {
        let of = match kind {
            Kind::Int => Type::INT4,
            Kind::BigInt => Type::INT8,
            Kind::Text => Type::TEXT,
            Kind::Money => Type::NUMERIC,
            Kind::Oid => Type::OID,
            Kind::SmallInt => Type::INT2,
            Kind::Bool => Type::BOOL,
        };
        FieldInfo::new(name.clone(), None, None, of, format.format_for(index))
    };
    columns.iter().enumerate().map(field).collect()
}

fn response(answer: &Answer, format: &Format) -> PgWireResult<Response> {
    if let Some((command, count)) = answer.done {
        let tag = Tag::new(command);
        return Ok(Response::Execution(match count {
            Some(count) => tag.with_rows(count),
            None => tag,
        }));
    }
    let fields = Arc::new(fields(&answer.columns, format));
    let mut encoder = DataRowEncoder::new(Arc::clone(&fields));
    let mut rows = Vec::new();
    for row in &answer.rows {
        for (cell, field) in row.iter().zip(fields.iter()) {
            encode(&mut encoder, cell, field)?;
        }
        rows.push(Ok(encoder.take_row()));
    }
    Ok(Response::Query(QueryResponse::new(fields, stream::iter(rows))))
}

fn encode(encoder: &mut DataRowEncoder, cell: &Cell, field: &FieldInfo) -> PgWireResult<()> {
    if field.format() == FieldFormat::Text {
        return encoder.encode_field_with_type_and_format(
            &cell.text(),
            &Type::TEXT,
            FieldFormat::Text,
            field.format_options(),
        );
    }
    let range = || refused(Sorry("that value cannot be sent in binary form".to_owned()));
    match cell {
        Cell::Null => encoder.encode_field(&None::<String>),
        Cell::Text(text) => encoder.encode_field(text),
        Cell::Bool(flag) => encoder.encode_field(flag),
        Cell::Money(_) => Err(range()),
        Cell::Int(number) => match *field.datatype() {
            Type::INT2 => encoder.encode_field(&i16::try_from(*number).map_err(|_| range())?),
            Type::INT4 => encoder.encode_field(&i32::try_from(*number).map_err(|_| range())?),
            Type::OID => encoder.encode_field(&u32::try_from(*number).map_err(|_| range())?),
            _ => encoder.encode_field(number),
        },
    }
}
