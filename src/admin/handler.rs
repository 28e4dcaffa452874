//! pgwire's handlers: commands to responses, for the simple and the extended protocol.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::{Sink, SinkExt, stream};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, Type as WireType};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::DataRow;

use super::command::{self, Command, Constant, Show};
use super::operation::Operation;
use super::perform::{perform, waited_for};
use super::service::Service;
use super::table::{Column, Table, Type, Value};
use super::{Dialect, Source, show};
use crate::client::registry::{ClientEntry, ClientState, Running};
use crate::shared::Shared;
use crate::version;
use crate::wire::error::{PgError, sqlstate};

/// One console session's answers.
pub struct Console {
    pub entry: Arc<ClientEntry>,
    pub dialect: Dialect,
    pub source: Source,
    pub shared: Arc<Shared>,
}

/// What the monitor may take for an order beside waiting for transactions and for the operator's own commands.
const PATIENCE: Duration = Duration::from_secs(60);

/// From one word about what a pause waits for to the next.
const TELL: Duration = Duration::from_secs(3);

pub struct Parser;

/// An error of ours, as pgwire carries it.
pub fn wire_error(error: PgError) -> PgWireError {
    let mut info = ErrorInfo::new(error.severity.clone(), error.sqlstate, error.message);
    info.severity_nonlocalized = Some(error.severity);
    info.detail = error.detail;
    info.hint = error.hint;
    PgWireError::UserError(Box::new(info))
}

// === impl Console ===

impl Console {
    async fn respond<C>(&self, client: &mut C, command: &Command, format: &Format) -> PgWireResult<Response>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Ok(match command {
            Command::Show(show) => {
                let table = show::table(*show, self.dialect, &(self.source)());
                query_response(table, "SHOW", format)?
            }
            Command::ShowEvents(count) => query_response(show::events(*count, &(self.source)()), "SHOW", format)?,
            Command::Operation(operation) => {
                let done = self.operate(operation).await.map_err(wire_error)?;
                notice(client, done).await?;
                Response::Execution(Tag::new(operation.tag()))
            }
            Command::Service(service) => {
                let done = self.serve(client, service).await?;
                notice(client, done).await?;
                Response::Execution(Tag::new(service.tag()))
            }
            Command::Constant(name, constant) => {
                let (value, kind) = self.constant(constant);
                let fields = vec![field(name, kind, format.format_for(0))];
                rows_response(fields, &[kind], vec![vec![value]], "SELECT")
            }
            Command::Begin => Response::TransactionStart(Tag::new("BEGIN")),
            Command::End(tag) => Response::TransactionEnd(Tag::new(tag)),
            Command::Ignored(tag) => Response::Execution(Tag::new(tag)),
        })
    }

    /// What was done. Whoever stops waiting for it does not undo it.
    async fn operate(&self, operation: &Operation) -> Result<String, PgError> {
        let snapshot = (self.source)();
        let order = operation.order(&snapshot.topology)?;
        tracing::info!("{} by {}: {order:?}", operation.tag(), self.entry.user);
        let failover = &snapshot.config.failover;
        let limit = PATIENCE + failover.drain + 2 * failover.hooks.timeout;
        let given = tokio::time::timeout(limit, self.shared.orders.give(order));
        let answer = tokio::select! {
            biased;
            answer = given => answer,
            () = self.canceled() => {
                let error = PgError::error(sqlstate::QUERY_CANCELED, "no longer waiting; what was ordered goes on");
                return Err(error.with_hint("SHOW CLUSTER and SHOW EVENTS tell what becomes of it."));
            }
        };
        match answer {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(reason)) => Err(operation.refusal(&reason)),
            Err(_) => Err(operation.refusal(&format!(
                "the monitor has not said within {limit:?} what became of it\n\
                 It may still be done: SHOW CLUSTER and SHOW EVENTS tell."
            ))),
        }
    }

    /// Tells the operator from time to time what a long one waits for.
    async fn serve<C>(&self, client: &mut C, service: &Service) -> PgWireResult<String>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        tracing::info!("{} by {}: {service:?}", service.tag(), self.entry.user);
        let done = perform(&self.shared, service);
        let canceled = self.canceled();
        tokio::pin!(done, canceled);
        let mut tell = tokio::time::interval(TELL);
        tell.tick().await;
        loop {
            tokio::select! {
                biased;
                done = &mut done => return done.map_err(wire_error),
                () = &mut canceled => {
                    let error = PgError::error(sqlstate::QUERY_CANCELED, "canceling statement due to user request");
                    return Err(wire_error(error));
                }
                _ = tell.tick() => if let Service::Pause(database) = service {
                    notice(client, waited_for(&self.shared, database.as_deref())).await?;
                    client.flush().await?;
                }
            }
        }
    }

    /// A cancel request finds this client as one in a queue, until this is dropped.
    async fn canceled(&self) {
        let waiting = Waiting::begin(&self.entry);
        while !waiting.0.lock_cancel().canceled_in_queue {
            let wake = waiting.0.lock_cancel().queue_wake();
            wake.notified().await;
        }
    }

    fn constant(&self, constant: &Constant) -> (Value, Type) {
        let server_version = || format!("15.0 (pgherd {})", version::VERSION);
        match constant {
            Constant::Integer(number) => (Value::from(*number), Type::Int4),
            Constant::Boolean(value) => (Value::Boolean(*value), Type::Boolean),
            Constant::Text(text) => (Value::from(text.as_str()), Type::Text),
            Constant::Version => (Value::from(format!("PostgreSQL {}", server_version())), Type::Text),
            Constant::ServerVersion => (Value::from(server_version()), Type::Text),
            Constant::User => (Value::from(&*self.entry.user), Type::Text),
            Constant::Database => (Value::from(self.dialect.database()), Type::Text),
        }
    }
}

#[async_trait]
impl SimpleQueryHandler for Console {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let commands = command::parse(query).map_err(wire_error)?;
        if commands.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        // As PgBouncer does; the extended protocol gets rows instead.
        if commands == [Command::Show(Show::Help)] {
            notice(client, show::help_text()).await?;
            return Ok(vec![Response::Execution(Tag::new("SHOW"))]);
        }
        let mut responses = Vec::with_capacity(commands.len());
        for command in &commands {
            responses.push(self.respond(client, command, &Format::UnifiedText).await?);
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Console {
    type Statement = Command;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::new(Parser)
    }

    async fn do_query<C>(&self, client: &mut C, portal: &Portal<Command>, _max_rows: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Command>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let command = &portal.statement.statement;
        check_formats(&portal.result_column_format, columns(command).len())?;
        self.respond(client, command, &portal.result_column_format).await
    }
}

// === impl Waiting ===

/// While the client waits for an order.
struct Waiting<'a>(&'a ClientEntry);

impl<'a> Waiting<'a> {
    fn begin(entry: &'a ClientEntry) -> Self {
        let mut target = entry.lock_cancel();
        target.what = Running::InQueue;
        target.canceled_in_queue = false;
        drop(target);
        entry.set_state(ClientState::Waiting);
        Self(entry)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock_cancel().leave_queue();
        self.0.set_state(ClientState::Idle);
    }
}

// === impl Parser ===

#[async_trait]
impl QueryParser for Parser {
    type Statement = Command;

    async fn parse_sql<C>(&self, _: &C, sql: &str, _: &[Option<WireType>]) -> PgWireResult<Option<Command>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut commands = command::parse(sql).map_err(wire_error)?;
        if commands.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(wire_error(PgError::error(sqlstate::SYNTAX_ERROR, message)));
        }
        Ok(commands.pop())
    }

    fn get_parameter_types(&self, _: &Command) -> PgWireResult<Vec<WireType>> {
        Ok(Vec::new())
    }

    fn get_result_schema(&self, command: &Command, formats: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        let columns = columns(command);
        let formats = formats.unwrap_or(&Format::UnifiedText);
        check_formats(formats, columns.len())?;
        let field = |(at, (name, kind)): (usize, &(String, Type))| field(name, *kind, formats.format_for(at));
        Ok(columns.iter().enumerate().map(field).collect())
    }
}

/// Names and types of what `command` returns; none if it returns no rows.
fn columns(command: &Command) -> Vec<(String, Type)> {
    match command {
        Command::Show(show) => named(show::columns(*show)),
        Command::ShowEvents(_) => named(show::columns(Show::Events)),
        Command::Constant(name, constant) => {
            let kind = match constant {
                Constant::Integer(_) => Type::Int4,
                Constant::Boolean(_) => Type::Boolean,
                _ => Type::Text,
            };
            vec![(name.clone(), kind)]
        }
        Command::Operation(_) | Command::Service(_) | Command::Begin | Command::End(_) | Command::Ignored(_) => {
            Vec::new()
        }
    }
}

fn named(columns: &[Column]) -> Vec<(String, Type)> {
    columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

async fn notice<C>(client: &mut C, text: String) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let notice = ErrorInfo::new("NOTICE".to_owned(), "00000".to_owned(), text);
    Ok(client.feed(PgWireBackendMessage::NoticeResponse(notice.into())).await?)
}

/// pgwire indexes a list of formats by column without looking at its length.
fn check_formats(formats: &Format, columns: usize) -> PgWireResult<()> {
    match formats {
        Format::Individual(list) if list.len() != columns => {
            let message = format!("bind message has {} result formats but query has {columns} columns", list.len());
            Err(wire_error(PgError::error(sqlstate::PROTOCOL_VIOLATION, message)))
        }
        _ => Ok(()),
    }
}

fn query_response(table: Table, tag: &str, format: &Format) -> PgWireResult<Response> {
    let field = |(at, (name, kind)): (usize, &Column)| field(name, *kind, format.format_for(at));
    let fields = table.columns.iter().enumerate().map(field).collect();
    let kinds: Vec<Type> = table.columns.iter().map(|(_, kind)| *kind).collect();
    Ok(rows_response(fields, &kinds, table.rows, tag))
}

fn rows_response(fields: Vec<FieldInfo>, kinds: &[Type], rows: Vec<Vec<Value>>, tag: &str) -> Response {
    let encode = |row: Vec<Value>| {
        let mut data = Vec::with_capacity(16 * row.len());
        for ((value, kind), field) in row.iter().zip(kinds).zip(&fields) {
            value.encode(*kind, field.format() == FieldFormat::Binary, &mut data);
        }
        let count = fields.len() as i16; // no table has more than 50 columns
        Ok(DataRow::new(BytesMut::from(&data[..]), count))
    };
    let rows: Vec<PgWireResult<DataRow>> = rows.into_iter().map(encode).collect();
    let mut response = QueryResponse::new(Arc::new(fields), stream::iter(rows));
    response.set_command_tag(tag);
    Response::Query(response)
}

fn field(name: &str, kind: Type, format: FieldFormat) -> FieldInfo {
    let wire_type = match kind {
        Type::Text => WireType::TEXT,
        Type::Int4 => WireType::INT4,
        Type::Int8 => WireType::INT8,
        Type::Numeric => WireType::NUMERIC,
        Type::Boolean => WireType::BOOL,
    };
    FieldInfo::new(name.to_owned(), None, None, wire_type, format).with_type_size(kind.size())
}
