//! Is a query a plain read? sqlparser gives the structure; only what is listed here as harmless passes.
//!
//! It knows other dialects' syntax, so unlisted nodes are refused.

use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, Ident, ObjectName, Query, Select, SelectFlavor, SelectItem, SetExpr,
    Statement, TableFactor, Value, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Tokenizer;

use super::carried;
use super::catalog::{BuiltIn, Catalog, FunctionFact, TypeFact};
use super::class::Reason;
use super::dialect;
use super::scope::{self, Scopes};
use super::types::{self, TypeName};

/// A longer text is not parsed: flat operator chains become trees as deep as they are long, and dropping one
/// of some 16,000 links overflows a 2 MiB stack.
pub(super) const MAX_PARSED_BYTES: usize = 32 * 1024;
/// The same limit in links of such chains.
pub(super) const MAX_LINKS: usize = 4_000;
/// Nested subqueries and parentheses; more than 100 cost time out of proportion.
const RECURSION_LIMIT: usize = 100;

/// One statement that begins as a query. `Err`: why it is no plain read.
pub(super) fn check(text: &str, catalog: &impl Catalog) -> Result<(), Reason> {
    let postgresql = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&postgresql, text).tokenize().map_err(|_| Reason::Unparsed)?;
    if !dialect::same_tokens(&tokens, text) {
        return Err(Reason::Unparsed);
    }
    let tokens = dialect::in_plainer_words(tokens);
    let parsed = Parser::new(&postgresql).with_recursion_limit(RECURSION_LIMIT).with_tokens(tokens).parse_statements();
    let [Statement::Query(query)] = &parsed.map_err(|_| Reason::Unparsed)?[..] else {
        return Err(Reason::Unparsed);
    };
    match query.visit(&mut PlainRead { catalog, with: Scopes::default(), calls: false }) {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Walks a query and stops at the first thing that is not known to be a plain read.
struct PlainRead<'a, C> {
    catalog: &'a C,
    with: Scopes,
    /// The name of the FROM item at hand is a function's.
    calls: bool,
}

type Verdict = ControlFlow<Reason>;

fn refuse(reason: Reason) -> Verdict {
    ControlFlow::Break(reason)
}

fn require(harmless: bool) -> Verdict {
    if harmless { ControlFlow::Continue(()) } else { refuse(Reason::UnsupportedSyntax) }
}

// === impl PlainRead ===

impl<C: Catalog> PlainRead<'_, C> {
    fn call(&self, name: &ObjectName) -> Verdict {
        let Some((schema, name)) = folded(name) else { return refuse(Reason::UnknownFunction) };
        self.catalog.function(schema.as_deref(), &name).against().map_or(ControlFlow::Continue(()), refuse)
    }

    fn named(&self, function: &str) -> Verdict {
        self.catalog.function(None, function).against().map_or(ControlFlow::Continue(()), refuse)
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> Verdict {
        if schema.is_none() && self.with.has(name) {
            return ControlFlow::Continue(());
        }
        self.catalog.relation(schema, name).against().map_or(ControlFlow::Continue(()), refuse)
    }

    /// Changes of data, and all that is not listed, at the top of a query.
    fn body(&self, body: &SetExpr) -> Verdict {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                refuse(Reason::DataChange)
            }
            // it was put in other words
            SetExpr::Table(_) => refuse(Reason::UnsupportedSyntax),
        }
    }

    fn data_type(&self, data_type: &DataType) -> Verdict {
        match types::type_name(data_type) {
            TypeName::OfGrammar(name) => self.named_type(None, name),
            TypeName::Foreign(name) => self.named_type(None, &name),
            TypeName::Custom(name) => self.custom_type(name),
        }
    }

    fn custom_type(&self, name: &ObjectName) -> Verdict {
        let Some((schema, name)) = folded(name) else { return refuse(Reason::UnknownType) };
        self.named_type(schema.as_deref(), &name)
    }

    fn named_type(&self, schema: Option<&str>, name: &str) -> Verdict {
        match self.catalog.type_name(schema, name) {
            TypeFact::Harmless => ControlFlow::Continue(()),
            TypeFact::Unknown => refuse(Reason::UnknownType),
        }
    }

    fn function(&self, function: &Function) -> Verdict {
        require(matches!(function.parameters, FunctionArguments::None) && !function.uses_odbc_syntax)?;
        if let FunctionArguments::List(list) = &function.args {
            for clause in &list.clauses {
                if let FunctionArgumentClause::JsonReturningClause(returning) = clause {
                    self.data_type(&returning.data_type)?;
                }
            }
        }
        match self.call(&function.name) {
            ControlFlow::Break(Reason::NodeLocal) if asks_for_carried(function) => ControlFlow::Continue(()),
            verdict => verdict,
        }
    }

    /// `row.name` may be a call of `name(row)` ("Using Composite Types in Queries"): only the database's own functions take
    /// rows, so a name that pg_catalog has as well is taken for a column's.
    fn field(&self, name: &Ident) -> Verdict {
        let name = scope::folded(name);
        match self.catalog.function(None, &name) {
            FunctionFact::Writes if BuiltIn.function(None, &name) != FunctionFact::Writes => {
                refuse(Reason::WritingFunction)
            }
            FunctionFact::Volatile => refuse(Reason::VolatileFunction),
            _ => ControlFlow::Continue(()),
        }
    }

    /// `mood 'ok'` is a constant of a type; the parser takes the text for a column's name.
    fn constant(&self, item: &SelectItem) -> Verdict {
        match item {
            SelectItem::ExprWithAlias { expr, alias } if alias.quote_style == Some('\'') => match expr {
                Expr::Identifier(name) => self.custom_type(&ObjectName::from(vec![name.clone()])),
                Expr::CompoundIdentifier(names) => self.custom_type(&ObjectName::from(names.clone())),
                _ => refuse(Reason::UnsupportedSyntax),
            },
            _ => ControlFlow::Continue(()),
        }
    }

    fn fields(&self, chain: &[AccessExpr]) -> Verdict {
        for access in chain {
            if let AccessExpr::Dot(Expr::Identifier(name)) = access {
                self.field(name)?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl<C: Catalog> Visitor for PlainRead<'_, C> {
    type Break = Reason;

    fn pre_visit_statement(&mut self, _: &Statement) -> Verdict {
        refuse(Reason::DataChange)
    }

    fn pre_visit_query(&mut self, query: &Query) -> Verdict {
        if !query.locks.is_empty() {
            return refuse(Reason::RowLock);
        }
        self.with.enter(query);
        require(query.for_clause.is_none() && query.settings.is_none() && query.format_clause.is_none())?;
        require(query.pipe_operators.is_empty())?;
        self.body(&query.body)
    }

    fn post_visit_query(&mut self, query: &Query) -> Verdict {
        self.with.leave(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Verdict {
        if select.into.is_some() {
            return refuse(Reason::SelectInto);
        }
        require(select.top.is_none() && select.lateral_views.is_empty() && select.connect_by.is_empty())?;
        require(select.prewhere.is_none() && select.qualify.is_none() && select.value_table_mode.is_none())?;
        require(select.cluster_by.is_empty() && select.distribute_by.is_empty() && select.sort_by.is_empty())?;
        require(select.exclude.is_none() && select.select_modifiers.is_none())?;
        require(matches!(select.flavor, SelectFlavor::Standard))?;
        select.projection.iter().try_for_each(|item| self.constant(item))
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> Verdict {
        if std::mem::take(&mut self.calls) {
            return self.call(relation);
        }
        match folded(relation) {
            // `FROM ONLY t` is read as a relation `only` with an alias
            Some((None, name)) if name == "only" => refuse(Reason::Temporary),
            Some((schema, name)) => self.relation(schema.as_deref(), &name),
            None => refuse(Reason::UnsupportedSyntax),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Verdict {
        for data_type in types::declared(factor) {
            self.data_type(data_type)?;
        }
        match factor {
            TableFactor::Table { args, with_hints, version, partitions, json_path, index_hints, .. } => {
                require(with_hints.is_empty() && version.is_none() && partitions.is_empty())?;
                require(json_path.is_none() && index_hints.is_empty())?;
                // its name is what is visited next
                self.calls = args.is_some();
                ControlFlow::Continue(())
            }
            TableFactor::Function { name, .. } => self.call(name),
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            TableFactor::UNNEST { .. } | TableFactor::TableFunction { .. } => ControlFlow::Continue(()),
            TableFactor::JsonTable { .. } | TableFactor::XmlTable { .. } => ControlFlow::Continue(()),
            _ => refuse(Reason::UnsupportedSyntax),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Verdict {
        match expr {
            Expr::Function(function) => self.function(function),
            Expr::Cast { kind, data_type, format, .. } => {
                require(matches!(kind, CastKind::Cast | CastKind::DoubleColon) && format.is_none())?;
                self.data_type(data_type)
            }
            Expr::TypedString(typed) => self.data_type(&typed.data_type),
            Expr::CompoundIdentifier(names) => names.last().map_or(ControlFlow::Continue(()), |name| self.field(name)),
            Expr::CompoundFieldAccess { access_chain, .. } => self.fields(access_chain),
            // they are called by the search path when they are written with commas
            Expr::Ceil { .. } => self.named("ceil"),
            Expr::Floor { .. } => self.named("floor"),
            Expr::Substring { shorthand: true, .. } => self.named("substr"),
            Expr::Substring { .. } => self.named("substring"),
            Expr::Overlay { .. } => self.named("overlay"),
            Expr::BinaryOp { op, .. } | Expr::AnyOp { compare_op: op, .. } | Expr::AllOp { compare_op: op, .. } => {
                operator(op)
            }
            other => require(is_listed(other)),
        }
    }
}

/// `current_setting('app.tenant')`, or another one that is the same everywhere.
fn asks_for_carried(function: &Function) -> bool {
    let is_current_setting = function
        .name
        .0
        .last()
        .and_then(|part| part.as_ident())
        .is_some_and(|name| scope::folded(name) == "current_setting");
    let FunctionArguments::List(list) = &function.args else { return false };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first() else { return false };
    let first = if let Expr::Cast { expr, .. } = first { expr } else { first };
    match first {
        Expr::Value(value) if is_current_setting => {
            matches!(&value.value, Value::SingleQuotedString(name) if carried::is_carried(name))
        }
        _ => false,
    }
}

/// Operator names were looked up by their tokens; here only `OPERATOR(schema.name)` is left to judge.
fn operator(op: &BinaryOperator) -> Verdict {
    match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => match &parts[..] {
            [_] => ControlFlow::Continue(()),
            [schema, _] if schema.eq_ignore_ascii_case("pg_catalog") => ControlFlow::Continue(()),
            _ => refuse(Reason::UnknownOperator),
        },
        _ => ControlFlow::Continue(()),
    }
}

/// Expressions that run nothing but built-in code and what is visited below them.
fn is_listed(expr: &Expr) -> bool {
    use Expr::*;
    matches!(
        expr,
        Identifier(_)
            | IsFalse(_)
            | IsNotFalse(_)
            | IsTrue(_)
            | IsNotTrue(_)
            | IsNull(_)
            | IsNotNull(_)
            | IsUnknown(_)
            | IsNotUnknown(_)
            | IsDistinctFrom(..)
            | IsNotDistinctFrom(..)
            | IsJson { .. }
            | IsNormalized { .. }
            | InList { .. }
            | InSubquery { .. }
            | Between { .. }
            | Like { .. }
            | ILike { .. }
            | SimilarTo { .. }
            | UnaryOp { .. }
            | AtTimeZone { .. }
            | Extract { .. }
            | Position { .. }
            | Trim { .. }
            | Collate { .. }
            | Nested(_)
            | Value(_)
            | Case { .. }
            | Exists { .. }
            | Subquery(_)
            | GroupingSets(_)
            | Cube(_)
            | Rollup(_)
            | Tuple(_)
            | Array(_)
            | Interval(_)
            | Wildcard(_)
            | QualifiedWildcard(..)
    )
}

/// (schema, name) as PostgreSQL folds them; a database before them is dropped. `None`: no plain names.
fn folded(name: &ObjectName) -> Option<(Option<String>, String)> {
    let part = |at: usize| name.0.get(at)?.as_ident().map(scope::folded);
    match name.0.len() {
        1 => Some((None, part(0)?)),
        2 => Some((Some(part(0)?), part(1)?)),
        3 => Some((Some(part(1)?), part(2)?)),
        _ => None,
    }
}
