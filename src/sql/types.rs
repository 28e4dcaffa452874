//! The types a query names: in casts, constants, column definitions.

use sqlparser::ast::{
    ArrayElemTypeDef, DataType, JsonTableColumn, ObjectName, TableAlias, TableFactor, TimezoneInfo, XmlTableColumn,
    XmlTableColumnOption,
};

/// A type as the catalog knows it: what the grammar spells otherwise is translated. `Custom`: as it stands in the text.
pub(super) enum TypeName<'a> {
    OfGrammar(&'static str),
    Custom(&'a ObjectName),
    /// No word of PostgreSQL's grammar, so the name of somebody's type, if of any.
    Foreign(String),
}

/// The name of a type, or of its elements' type.
pub(super) fn type_name(data_type: &DataType) -> TypeName<'_> {
    use DataType::*;
    let name = match data_type {
        Custom(name, _) => return TypeName::Custom(name),
        Array(
            ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::Parenthesis(element)
            | ArrayElemTypeDef::Qualified(element, _),
        ) => return type_name(element),
        Character(_) | Char(_) => "bpchar",
        CharacterVarying(_) | CharVarying(_) | Varchar(_) => "varchar",
        Text => "text",
        Uuid => "uuid",
        Numeric(_) | Decimal(_) | Dec(_) => "numeric",
        Int2(_) | SmallInt(_) => "int2",
        Int(_) | Int4(_) | Integer(_) => "int4",
        Int8(_) | BigInt(_) => "int8",
        Float4 | Real => "float4",
        Float(_) | Float8 | DoublePrecision => "float8",
        Bool | Boolean => "bool",
        Date => "date",
        Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timetz",
        Time(..) => "time",
        Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timestamptz",
        Timestamp(..) => "timestamp",
        Interval { .. } => "interval",
        JSON => "json",
        JSONB => "jsonb",
        Regclass => "regclass",
        Bytea => "bytea",
        Bit(_) => "bit",
        BitVarying(_) | VarBit(_) => "varbit",
        TsVector => "tsvector",
        TsQuery => "tsquery",
        other => {
            let text = other.to_string().to_ascii_lowercase();
            let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(text.len());
            return TypeName::Foreign(text[..end].to_owned());
        }
    };
    TypeName::OfGrammar(name)
}

/// The types that a FROM item gives its columns.
pub(super) fn declared(factor: &TableFactor) -> Vec<&DataType> {
    use TableFactor::*;
    let mut types = Vec::new();
    match factor {
        Table { alias, .. } | Derived { alias, .. } | TableFunction { alias, .. } | Function { alias, .. } => {
            of_alias(alias.as_ref(), &mut types);
        }
        UNNEST { alias, .. } | NestedJoin { alias, .. } => of_alias(alias.as_ref(), &mut types),
        JsonTable { columns, alias, .. } => {
            of_json(columns, &mut types);
            of_alias(alias.as_ref(), &mut types);
        }
        XmlTable { columns, alias, .. } => {
            types.extend(columns.iter().filter_map(of_xml));
            of_alias(alias.as_ref(), &mut types);
        }
        // refused as they are
        _ => {}
    }
    types
}

fn of_alias<'a>(alias: Option<&'a TableAlias>, types: &mut Vec<&'a DataType>) {
    types.extend(alias.iter().flat_map(|alias| &alias.columns).filter_map(|column| column.data_type.as_ref()));
}

fn of_json<'a>(columns: &'a [JsonTableColumn], types: &mut Vec<&'a DataType>) {
    for column in columns {
        match column {
            JsonTableColumn::Named(named) => types.push(&named.r#type),
            JsonTableColumn::Nested(nested) => of_json(&nested.columns, types),
            JsonTableColumn::ForOrdinality(_) => {}
        }
    }
}

fn of_xml(column: &XmlTableColumn) -> Option<&DataType> {
    match &column.option {
        XmlTableColumnOption::NamedInfo { r#type, .. } => Some(r#type),
        XmlTableColumnOption::ForOrdinality => None,
    }
}
