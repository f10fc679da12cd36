//! Columns whose values repeat: all but the decimal ones.
//!
//! Each distinct text of such a column has a code, and what it means is found out once. Neighbouring
//! columns that say the same thing together - meter, meter name, category, unit - are read as one field:
//! one look-up instead of four. Which columns these are, a sample of the rows tells; it changes how fast
//! codes are found, and never the codes.
//!
//! ```text
//! row      … ,Compute,D4s v5,1 Hour,… ,7d1a…,sub-web,…
//! groups      └──── span ────────┘     └── span ───┘      bytes of a span -> code of the group
//! columns     3       17     2         5     5            code of the group -> codes of its columns
//! ```

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::error::ArrowError;
use costlake_model::aliases::Naming;
use costlake_model::columns::{ColumnType, Presence, SOURCE_COLUMNS, added};
use hashbrown::HashMap;

use super::dates::Dates;
use super::dictionary::NULL;
use super::memo::{self, Memo};
use super::quarantine::{Fault, Faults, Rule};
use super::tags::Tags;
use super::text::{self, Texts};
use crate::blob::Plan;
use crate::csv::{self, FieldTable};

/// After so many rows of a chunk it shows which columns go together, and the rest of it gains by it.
const MANY_ROWS: usize = 4096;
/// A chunk that ends with fewer rows says too little for those that come after.
const FEW_ROWS: usize = 512;
/// A strip has runs if fewer than one row in so many differs from the one above: a comparison with it
/// that fails costs as much as a look-up that was spared.
const ROWS_PER_CHANGE: usize = 8;

/// The columns of a chunk whose values repeat.
pub(super) struct RepeatingColumns {
    /// In the order of the file.
    columns: Vec<Column>,
    /// All columns, one after the other.
    groups: Vec<Group>,
    is_grouped: bool,
    /// How many rows were kept.
    rows: usize,
}

/// A column of a chunk: what its texts mean, and the code of each row.
pub(super) struct Column {
    name: &'static str,
    field: usize,
    values: Values,
    memo: Memo,
    codes: Vec<i32>,
}

/// The values of a column, by their code.
enum Values {
    Text(Texts),
    Tags(Tags),
    Date(Dates),
    /// The code is the value.
    Boolean(Booleans),
}

/// Neighbouring columns that are read as one.
struct Group {
    columns: Range<usize>,
    fields: RangeInclusive<usize>,
    memo: Memo,
    /// Whether most rows of the strip before had the code of the row above.
    has_runs: bool,
    /// The codes of a strip.
    strip: Vec<i32>,
    /// By column, then by code of the group: the code of the column.
    members: Vec<Vec<i32>>,
}

impl RepeatingColumns {
    pub(super) fn new(plan: &Plan) -> Self {
        let is_repeating =
            |column: &usize| SOURCE_COLUMNS[*column].column_type != ColumnType::Decimal;
        let bound = plan.binding.columns.iter().filter(|bound| is_repeating(&bound.column));
        let mut columns: Vec<Column> =
            bound.map(|bound| Column::new(bound.column, bound.field, plan)).collect();
        columns.sort_unstable_by_key(|column| column.field);
        let known = plan.groups.get();
        let single = || (0..columns.len()).map(|at| at..at + 1).collect();
        let groups: Vec<Range<usize>> = known.cloned().unwrap_or_else(single);
        let groups = groups.into_iter().map(|group| Group::new(group, &columns)).collect();
        Self { columns, groups, is_grouped: known.is_some(), rows: 0 }
    }

    /// Reads the columns of a strip. The rows are appended, those with a fault too.
    pub(super) fn parse(&mut self, text: &[u8], table: &FieldTable, faults: &mut [Faults]) {
        for group in &mut self.groups {
            group.parse(&mut self.columns[group.columns.clone()], text, table, faults);
        }
    }

    /// Ends a strip of `length` rows, of which only some are kept.
    pub(super) fn keep(&mut self, length: usize, kept: &[usize], plan: &Plan) {
        if kept.len() < length {
            for column in &mut self.columns {
                for (at, row) in kept.iter().enumerate() {
                    column.codes[self.rows + at] = column.codes[self.rows + row];
                }
                column.codes.truncate(self.rows + kept.len());
            }
        }
        self.rows += kept.len();
        if !self.is_grouped && self.rows >= MANY_ROWS {
            self.is_grouped = true;
            let groups = plan.groups.get_or_init(|| grouped(&self.columns)).iter();
            self.groups = groups.map(|group| Group::new(group.clone(), &self.columns)).collect();
        }
    }

    /// The position of a column, for [`Self::strip`] and [`Self::text`].
    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The codes of the rows of a column that were read since the last strip ended.
    pub(super) fn strip(&self, column: usize) -> &[i32] {
        &self.columns[column].codes[self.rows..]
    }

    /// The text of a code of a column; none for other columns than those of text.
    pub(super) fn text(&self, column: usize, code: i32) -> &str {
        match &self.columns[column].values {
            Values::Text(texts) => texts.value(code),
            _ => "",
        }
    }

    /// The first and the last charge date.
    pub(super) fn charge_dates(&self) -> (Option<chrono::NaiveDate>, Option<chrono::NaiveDate>) {
        let column = self.columns.iter().find(|column| column.name == "charge_date");
        match column.map(|column| (&column.values, &column.codes)) {
            Some((Values::Date(dates), codes)) => dates.range(codes),
            _ => (None, None),
        }
    }

    /// The arrays of all columns, with their names.
    pub(super) fn finish(
        &mut self,
        plan: &Plan,
        mut put: impl FnMut(&'static str, ArrayRef),
    ) -> Result<(), ArrowError> {
        if !self.is_grouped && self.rows >= FEW_ROWS {
            plan.groups.get_or_init(|| grouped(&self.columns));
        }
        for column in &mut self.columns {
            let codes = std::mem::take(&mut column.codes);
            match &mut column.values {
                Values::Text(texts) => put(column.name, texts.finish(codes)?),
                Values::Tags(tags) => {
                    let (parsed, raw) = tags.finish(&codes)?;
                    put(column.name, parsed);
                    put(added::TAGS_RAW, raw);
                }
                Values::Date(dates) => put(column.name, Arc::new(dates.finish(&codes))),
                Values::Boolean(_) => {
                    let value = |code: &i32| (*code != NULL).then_some(*code == 1);
                    let values: BooleanArray = codes.iter().map(value).collect();
                    put(column.name, Arc::new(values));
                }
            }
        }
        Ok(())
    }
}

impl Column {
    fn new(column: usize, field: usize, plan: &Plan) -> Self {
        let source = &SOURCE_COLUMNS[column];
        let (name, naming) = (source.name, plan.binding.naming);
        let is_required = source.presence != Presence::Optional;
        let values = match source.column_type {
            ColumnType::Tags => Values::Tags(Tags::new(naming)),
            ColumnType::Date => {
                Values::Date(Dates::new(name, is_required, naming, plan.dates.of(column)))
            }
            ColumnType::Boolean => Values::Boolean(Booleans { name, naming }),
            ColumnType::Text | ColumnType::Decimal => {
                Values::Text(Texts::new(name, is_required, naming))
            }
        };
        Self { name, field, values, memo: Memo::default(), codes: Vec::new() }
    }

    /// Returns the code of a field, and finds out what it means if it is new.
    fn code_of(
        &mut self,
        text: &[u8],
        field: Range<u32>,
        scratch: &mut Vec<u8>,
    ) -> Result<i32, Fault> {
        let hash = memo::hash(text, field.clone());
        let field = csv::bytes(text, field);
        if let Some(code) = self.memo.find(field, hash) {
            return Ok(code);
        }
        let content = csv::content(field, scratch);
        let code = match &mut self.values {
            Values::Text(texts) => texts.code_of(content),
            Values::Tags(tags) => tags.code_of(content),
            Values::Date(dates) => dates.code_of(content),
            Values::Boolean(booleans) => booleans.code_of(content),
        }?;
        // A faulty text must fault again, so it is not kept.
        self.memo.keep(field, hash, code);
        Ok(code)
    }
}

impl Group {
    fn new(columns: Range<usize>, all: &[Column]) -> Self {
        let (first, last) = (columns.start, columns.end - 1);
        Self {
            fields: all[first].field..=all[last].field,
            memo: Memo::default(),
            has_runs: false,
            strip: Vec::new(),
            members: vec![Vec::new(); columns.len()],
            columns,
        }
    }

    fn parse(
        &mut self,
        columns: &mut [Column],
        text: &[u8],
        table: &FieldTable,
        faults: &mut [Faults],
    ) {
        self.strip.clear();
        let mut scratch = Vec::new();
        let mut changes = 0;
        let mut above: Option<(&[u8], i32)> = None;
        for ((row, span), faults) in table.spans(self.fields.clone()).enumerate().zip(faults) {
            let field = csv::bytes(text, span.clone());
            if self.has_runs
                && let Some((above, code)) = above
                && csv::is_same(above, field)
            {
                self.strip.push(code);
                continue;
            }
            match self.code_of(columns, text, span, |column| table.range(row, column), &mut scratch)
            {
                Ok(code) => {
                    changes += usize::from(above.is_none_or(|(_, above)| above != code));
                    above = Some((field, code));
                    self.strip.push(code);
                }
                Err((field, fault)) => {
                    faults.add(Some(field), fault);
                    self.strip.push(NULL);
                }
            }
        }
        self.has_runs = changes * ROWS_PER_CHANGE < self.strip.len();
        self.append_to(columns);
    }

    #[inline(always)]
    fn code_of(
        &mut self,
        columns: &mut [Column],
        text: &[u8],
        span: Range<u32>,
        field: impl Fn(usize) -> Range<u32>,
        scratch: &mut Vec<u8>,
    ) -> Result<i32, (usize, Fault)> {
        if let [column] = columns {
            return column.code_of(text, span, scratch).map_err(|fault| (column.field, fault));
        }
        let hash = memo::hash(text, span.clone());
        let bytes = csv::bytes(text, span);
        if let Some(code) = self.memo.find(bytes, hash) {
            return Ok(code);
        }
        let known = self.members[0].len();
        let mut first = None;
        for (column, members) in columns.iter_mut().zip(&mut self.members) {
            // After a fault too: the texts of a column are the same, however it is read.
            match column.code_of(text, field(column.field), scratch) {
                Ok(code) => members.push(code),
                Err(fault) => drop(first.get_or_insert((column.field, fault))),
            }
        }
        if let Some(fault) = first {
            self.members.iter_mut().for_each(|members| members.truncate(known));
            return Err(fault);
        }
        let code = i32::try_from(known).unwrap_or(NULL);
        self.memo.keep(bytes, hash, code);
        Ok(code)
    }

    /// Appends the codes of the strip to those of the columns.
    fn append_to(&self, columns: &mut [Column]) {
        if let [column] = columns {
            column.codes.extend_from_slice(&self.strip);
            return;
        }
        for (column, members) in columns.iter_mut().zip(&self.members) {
            let member = |code: &i32| {
                usize::try_from(*code).ok().and_then(|code| members.get(code)).copied()
            };
            column.codes.extend(self.strip.iter().map(|code| member(code).unwrap_or(NULL)));
        }
    }
}

/// Finds the groups of columns: neighbours that have few distinct values together.
fn grouped(columns: &[Column]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut group = Distinct::default();
    for (at, column) in columns.iter().enumerate() {
        let alone = Distinct::of(&column.codes);
        let is_neighbour = at > 0 && column.field == columns[at - 1].field + 1;
        if let Some(last) = groups.last_mut().filter(|_| is_neighbour) {
            let together = group.with(&column.codes);
            if together.pays(&group, &alone) {
                last.end = at + 1;
                group = together;
                continue;
            }
        }
        groups.push(at..at + 1);
        group = alone;
    }
    groups
}

/// The distinct values of some rows, numbered.
#[derive(Default)]
struct Distinct {
    count: usize,
    /// The number of each row.
    rows: Vec<usize>,
}

impl Distinct {
    /// Whether two columns are better read together. What is new together must be looked up in each, so
    /// it has to be rare: an eighth of the rows, or half of them if one column says almost all of it.
    /// Twice or half as many give the same groups of real files.
    fn pays(&self, one: &Self, other: &Self) -> bool {
        let (count, rows) = (self.count, self.rows.len());
        let most = one.count.max(other.count);
        count * 8 < rows || (count * 2 < rows && count * 16 < most * 17)
    }

    fn of(codes: &[i32]) -> Self {
        Self { count: 1, rows: vec![0; codes.len()] }.with(codes)
    }

    /// Those together with the codes of another column.
    fn with(&self, codes: &[i32]) -> Self {
        let mut numbers = HashMap::new();
        let pairs = self.rows.iter().zip(codes);
        let rows = pairs
            .map(|pair| {
                let next = numbers.len();
                *numbers.entry(pair).or_insert(next)
            })
            .collect();
        Self { count: numbers.len(), rows }
    }
}

/// The values of a column of true and false; their codes are 1 and 0.
struct Booleans {
    name: &'static str,
    naming: Naming,
}

impl Booleans {
    fn code_of(&self, content: &[u8]) -> Result<i32, Fault> {
        match csv::without_spaces(content) {
            content if text::is_null(self.naming, content) => Ok(NULL),
            b"1" => Ok(1),
            b"0" => Ok(0),
            other if other.eq_ignore_ascii_case(b"true") => Ok(1),
            other if other.eq_ignore_ascii_case(b"false") => Ok(0),
            other => Err(Fault::new(Rule::Boolean, self.name, "True, False, 1 or 0", other)),
        }
    }
}
