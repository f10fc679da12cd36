//! A chunk of records to a typed batch: column by column, some records at a time.
//!
//! Records are read in strips that fit the cache. For each strip every column is parsed into scratch
//! space; then it is known which rows are sound, and only these are appended. A row that cannot be
//! typed goes to quarantine whole, with its first fault.

mod dates;
pub(crate) mod dictionary;
mod memo;
mod numbers;
mod quarantine;
mod repeating;
mod tags;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use costlake_model::ChargeClass;
use costlake_model::charge_class::ChargeFacts;
use costlake_model::columns::{ColumnType, SOURCE_COLUMNS, added, line_item_schema};
use costlake_model::decimal::{Accumulator, ExactDecimal};
use costlake_model::ledger::{Ledger, RowTotals};

use crate::blob::{Chunk, Plan};
use crate::csv::{FieldTable, Malformed, MalformedRecord, RecordReader};
use crate::error::Error;
use crate::header::BoundColumn;

pub(crate) use dates::DateFormats;
use dictionary::{Dictionary, NULL};
use numbers::DecimalColumn;
use quarantine::{Fault, Faults, Place};
pub use quarantine::{QuarantinedRow, Rule, quarantine_batch};
use repeating::RepeatingColumns;

/// Records per strip: 256 wide ones and their field ends take 290 KB, which stay in a second-level cache
/// while column after column is read.
pub(crate) const STRIP_ROWS: usize = 256;

/// A field is never longer; the longest real ones, tags and service metadata, have some thousand bytes.
const MAX_FIELD_BYTES: usize = 8 << 20;

/// The rows of a chunk.
#[derive(Debug)]
pub struct DecodedChunk {
    /// The sound rows in source order, in the schema of `line_item_schema`.
    pub batch: RecordBatch,
    /// The rows that could not be typed, in source order.
    pub quarantined: Vec<QuarantinedRow>,
    /// The account of the chunk. Its bytes are those of the records.
    pub ledger: Ledger,
}

impl Chunk {
    /// Types the records. Depends on the chunk alone, not on thread or time.
    ///
    /// # Errors
    /// What refuses the file whole: [`Error::RepeatedHeader`], and [`Error::Batch`] for more text than
    /// a batch can hold.
    pub fn decode(&self) -> Result<DecodedChunk, Error> {
        let plan = &*self.plan;
        let mut reader = RecordReader::new(&self.text, plan.binding.field_count);
        let mut table = FieldTable::default();
        let mut malformed = Vec::new();
        let mut decoder = Decoder::new(self, plan);
        loop {
            let has_more = reader.read(STRIP_ROWS, &mut table, &mut malformed);
            decoder.decode_strip(&table)?;
            for record in malformed.drain(..) {
                decoder.quarantine_malformed(&record)?;
            }
            if !has_more {
                break;
            }
        }
        decoder.finish()
    }

    /// The number within the blob, from 1.
    fn record_number(&self, number_in_chunk: u32) -> i64 {
        self.records_before.cast_signed() + i64::from(number_in_chunk) + 1
    }
}

struct Decoder<'a> {
    chunk: &'a Chunk,
    plan: &'a Plan,
    repeating: RepeatingColumns,
    decimals: Vec<DecimalColumn>,
    charge: ChargeColumns,
    extra: Dictionary,
    extra_codes: Vec<i32>,
    classes: Vec<i32>,
    records: Vec<i64>,
    /// The cost of the sound rows by the codes of their currency and of their class.
    currency_costs: CostsByCode,
    class_costs: CostsByCode,
    faults: Vec<Faults>,
    quarantined: Vec<QuarantinedRow>,
    malformed_rows: u64,
}

impl<'a> Decoder<'a> {
    fn new(chunk: &'a Chunk, plan: &'a Plan) -> Self {
        let is_decimal =
            |bound: &&BoundColumn| SOURCE_COLUMNS[bound.column].column_type == ColumnType::Decimal;
        let decimal = |bound| DecimalColumn::new(bound, plan.binding.naming);
        let repeating = RepeatingColumns::new(plan);
        Self {
            chunk,
            plan,
            charge: ChargeColumns::find(&repeating),
            repeating,
            decimals: plan.binding.columns.iter().filter(is_decimal).map(decimal).collect(),
            extra: Dictionary::default(),
            extra_codes: Vec::new(),
            classes: Vec::new(),
            records: Vec::new(),
            currency_costs: CostsByCode::default(),
            class_costs: CostsByCode::default(),
            faults: Vec::new(),
            quarantined: Vec::new(),
            malformed_rows: 0,
        }
    }

    fn decode_strip(&mut self, table: &FieldTable) -> Result<(), Error> {
        let text = &*self.chunk.text;
        self.faults.clear();
        self.faults.resize(table.len(), Faults::default());
        self.check_field_lengths(table);
        self.repeating.parse(text, table, &mut self.faults);
        for column in &mut self.decimals {
            column.parse(text, table, &mut self.faults);
        }
        text::check_extra(&self.plan.binding.extra, text, table, &mut self.faults);
        let kept: Vec<usize> =
            (0..table.len()).filter(|row| self.faults[*row].is_empty()).collect();
        self.append(&kept, table);
        if kept.len() < table.len() {
            self.quarantine_faulty(table)?;
        }
        self.repeating.keep(table.len(), &kept, self.plan);
        Ok(())
    }

    fn check_field_lengths(&mut self, table: &FieldTable) {
        if table.text_bytes() <= MAX_FIELD_BYTES {
            return;
        }
        let (text, binding) = (&*self.chunk.text, &*self.plan.binding);
        for (row, faults) in self.faults.iter_mut().enumerate() {
            if table.record(text, row).len() <= MAX_FIELD_BYTES {
                continue;
            }
            let length = |field| table.field(text, row, field).len();
            let too_long = (0..binding.field_count).find(|field| length(*field) > MAX_FIELD_BYTES);
            if let Some(field) = too_long {
                let fault = Fault {
                    rule: Rule::FieldLength,
                    column: Some(binding.column_of(field)),
                    expected: "at most 8 MiB in a field".into(),
                    found: format!("{} bytes", length(field)),
                };
                faults.add(None, fault);
            }
        }
    }

    fn append(&mut self, kept: &[usize], table: &FieldTable) {
        self.decimals.iter_mut().for_each(|column| column.append(kept));
        self.append_extra(kept, table);
        let before = self.classes.len();
        self.charge.append_classes(&self.repeating, kept, &mut self.classes);
        let number = |row: &usize| self.chunk.record_number(table.number(*row));
        self.records.extend(kept.iter().map(number));
        self.add_costs(kept, before);
    }

    /// Adds the cost of rows, whose classes come after those of `before` rows.
    fn add_costs(&mut self, kept: &[usize], before: usize) {
        let Some(cost) = self.decimals.iter().find(|column| column.is_cost()) else { return };
        let currencies = self.charge.currency.map(|column| self.repeating.strip(column));
        for (class, &row) in self.classes[before..].iter().zip(kept) {
            let Some(value) = cost.exact(row) else { continue };
            self.currency_costs.add(currencies.map_or(NULL, |codes| codes[row]), value);
            self.class_costs.add(*class, value);
        }
    }

    fn append_extra(&mut self, kept: &[usize], table: &FieldTable) {
        let binding = &*self.plan.binding;
        if binding.extra.is_empty() {
            return;
        }
        let mut object = String::new();
        for &row in kept {
            text::extra_object(&mut object, binding, &self.chunk.text, table, row);
            let code = if object.is_empty() { NULL } else { self.extra.code_of(object.as_bytes()) };
            self.extra_codes.push(code);
        }
    }

    fn quarantine_faulty(&mut self, table: &FieldTable) -> Result<(), Error> {
        let faults = std::mem::take(&mut self.faults);
        for (row, fault) in faults.iter().enumerate() {
            let Some(fault) = fault.first() else { continue };
            let record = table.record(&self.chunk.text, row);
            self.check_no_header(record, table.number(row), table.start(row))?;
            self.decimals.iter_mut().for_each(|column| column.quarantine(row));
            let cost = self.decimals.iter().find(|column| column.is_cost());
            let place = Place {
                blob: self.plan.ordinal,
                record: self.chunk.record_number(table.number(row)),
                byte_offset: self.chunk.byte_offset + table.start(row) as u64,
            };
            self.quarantined.push(QuarantinedRow {
                place,
                rule: fault.rule,
                column: fault.column,
                expected: fault.expected.clone(),
                found: fault.found.clone(),
                cost: cost.and_then(|column| column.value(row)),
                raw: table.record(&self.chunk.text, row).to_vec(),
            });
        }
        self.faults = faults;
        Ok(())
    }

    /// A header among the rows says that files were glued together: what follows may mean anything.
    fn check_no_header(&self, record: &[u8], number: u32, start: usize) -> Result<(), Error> {
        if !self.plan.binding.is_header(record) {
            return Ok(());
        }
        Err(Error::RepeatedHeader {
            record: self.chunk.record_number(number).cast_unsigned(),
            byte_offset: self.chunk.byte_offset + start as u64,
        })
    }

    fn quarantine_malformed(&mut self, record: &MalformedRecord) -> Result<(), Error> {
        let raw = &self.chunk.text[record.start..record.end];
        self.check_no_header(raw, record.number, record.start)?;
        self.malformed_rows += 1;
        let (expected, found) = match record.malformed {
            Malformed::FieldCount(count) => {
                let expected = format!("{} fields", self.plan.binding.field_count);
                (expected, format!("{count} fields"))
            }
            Malformed::TextAfterQuote => {
                ("a comma or a line end after a closing quote".to_owned(), "other text".to_owned())
            }
            Malformed::BareCarriageReturn => {
                ("a line feed after a carriage return".to_owned(), "other text".to_owned())
            }
        };
        self.quarantined.push(QuarantinedRow {
            place: Place {
                blob: self.plan.ordinal,
                record: self.chunk.record_number(record.number),
                byte_offset: self.chunk.byte_offset + record.start as u64,
            },
            rule: Rule::of_malformed(record.malformed),
            column: None,
            expected: expected.into(),
            found,
            cost: None,
            raw: raw.to_vec(),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<DecodedChunk, Error> {
        self.quarantined.sort_by_key(|row| row.place.record);
        let ledger = self.ledger();
        let batch = self.batch().map_err(|error| Error::Batch(error.to_string()))?;
        Ok(DecodedChunk { batch, quarantined: self.quarantined, ledger })
    }

    fn ledger(&self) -> Ledger {
        let totals = |rows: u64, of: fn(&DecimalColumn) -> _| RowTotals {
            rows,
            decimals: self.decimals.iter().map(|column| (column.name(), of(column))).collect(),
        };
        let quarantined = self.quarantined.len() as u64;
        let records = self.records.len() as u64 + quarantined;
        let (first_date, last_date) = self.repeating.charge_dates();
        Ledger {
            bytes: self.chunk.text.len() as u64,
            records,
            blank_lines: self.chunk.blank_lines,
            source: totals(records - self.malformed_rows, DecimalColumn::source_totals),
            published: totals(self.records.len() as u64, DecimalColumn::published_totals),
            quarantined: totals(quarantined, DecimalColumn::quarantined_totals),
            first_date,
            last_date,
            cost_by_currency: self
                .currency_costs
                .iter()
                .map(|(code, cost)| (self.currency_of(code), cost.exact_total()))
                .collect(),
            cost_by_class: self
                .class_costs
                .iter()
                .filter_map(|(code, cost)| {
                    Some((ChargeClass::from_code(code)?, cost.stored_total()))
                })
                .collect(),
        }
    }

    fn currency_of(&self, code: i32) -> String {
        match self.charge.currency {
            Some(column) => self.repeating.text(column, code).to_owned(),
            None => self.plan.currency.clone().unwrap_or_default(),
        }
    }

    fn batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let schema = line_item_schema();
        let rows = self.records.len();
        let mut arrays: BTreeMap<&str, ArrayRef> = BTreeMap::new();
        self.repeating.finish(self.plan, |name, array| drop(arrays.insert(name, array)))?;
        for column in &mut self.decimals {
            arrays.insert(column.name(), column.finish()?);
        }
        if !self.plan.binding.extra.is_empty() {
            let codes = std::mem::take(&mut self.extra_codes);
            arrays.insert(added::EXTRA, self.extra.finish(codes)?);
        }
        if let Some(currency) = &self.plan.currency {
            let given = || dictionary::constant(currency, rows);
            arrays.entry("billing_currency").or_insert(given()?);
        }
        let names = ChargeClass::ALL.iter().map(|class| class.name());
        let classes = Int32Array::from(std::mem::take(&mut self.classes));
        arrays.insert(added::CHARGE_CLASS, dictionary::of_names(names, classes)?);
        let fingerprint = &self.plan.binding.fingerprint;
        let kind = fingerprint.kind.name();
        arrays.insert(added::SOURCE_KIND, dictionary::constant(kind, rows)?);
        if let Some(version) = fingerprint.version {
            arrays.insert(added::SCHEMA_VERSION, dictionary::constant(version, rows)?);
        }
        arrays.insert(added::BLOB, Arc::new(Int32Array::from(vec![self.plan.ordinal; rows])));
        let records = std::mem::take(&mut self.records);
        arrays.insert(added::RECORD, Arc::new(Int64Array::from(records)));
        let mut absent = AbsentColumns { rows, arrays: Vec::new() };
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                let array = arrays.remove(field.name().as_str());
                array.unwrap_or_else(|| absent.of(field.data_type()))
            })
            .collect();
        RecordBatch::try_new(schema, columns)
    }
}

/// Columns that a file lacks, of which all of a type are one.
struct AbsentColumns {
    rows: usize,
    arrays: Vec<ArrayRef>,
}

impl AbsentColumns {
    fn of(&mut self, data_type: &DataType) -> ArrayRef {
        let known = self.arrays.iter().find(|array| array.data_type() == data_type);
        known.cloned().unwrap_or_else(|| {
            let array = new_null_array(data_type, self.rows);
            self.arrays.push(Arc::clone(&array));
            array
        })
    }
}

/// Costs by the code of a column, of which there are few.
#[derive(Default)]
struct CostsByCode {
    /// By code; that of [`NULL`] comes first.
    costs: Vec<Option<Accumulator>>,
}

impl CostsByCode {
    #[inline]
    fn add(&mut self, code: i32, cost: ExactDecimal) {
        let at = usize::try_from(code + 1).unwrap_or(0);
        if at >= self.costs.len() {
            self.costs.resize(at + 1, None);
        }
        self.costs[at].get_or_insert_default().add(cost);
    }

    fn iter(&self) -> impl Iterator<Item = (i32, &Accumulator)> {
        (NULL..).zip(&self.costs).filter_map(|(code, cost)| Some((code, cost.as_ref()?)))
    }
}

/// Finds the columns that decide the charge class, and remembers what was decided.
#[derive(Default)]
struct ChargeColumns {
    charge_type: Option<usize>,
    pricing_model: Option<usize>,
    publisher_type: Option<usize>,
    benefit_id: Option<usize>,
    reservation_id: Option<usize>,
    correction: Option<usize>,
    commitment_type: Option<usize>,
    commitment_status: Option<usize>,
    currency: Option<usize>,
    known: hashbrown::HashMap<ChargeKey, i32, foldhash::fast::FixedState>,
    last: Option<(ChargeKey, i32)>,
}

/// The codes of the columns that decide; of the reservation, whether there is one.
type ChargeKey = [i32; 8];
const RESERVATION: usize = 4;

impl ChargeColumns {
    fn find(columns: &RepeatingColumns) -> Self {
        Self {
            charge_type: columns.position("charge_type"),
            pricing_model: columns.position("pricing_model"),
            publisher_type: columns.position("publisher_type"),
            benefit_id: columns.position("benefit_id"),
            reservation_id: columns.position("reservation_id"),
            correction: columns.position("focus_charge_class"),
            commitment_type: columns.position("commitment_discount_type"),
            commitment_status: columns.position("commitment_discount_status"),
            currency: columns.position("billing_currency"),
            ..Self::default()
        }
    }

    /// Appends the classes of rows of the strip, as their positions in [`ChargeClass::ALL`].
    fn append_classes(
        &mut self,
        columns: &RepeatingColumns,
        rows: &[usize],
        classes: &mut Vec<i32>,
    ) {
        let strip = |at: Option<usize>| at.map_or(&[][..], |at| columns.strip(at));
        let strips = [
            strip(self.charge_type),
            strip(self.pricing_model),
            strip(self.publisher_type),
            strip(self.benefit_id),
            strip(self.reservation_id),
            strip(self.correction),
            strip(self.commitment_type),
            strip(self.commitment_status),
        ];
        classes.extend(rows.iter().map(|row| {
            let mut key = strips.map(|strip| strip.get(*row).copied().unwrap_or(NULL));
            key[RESERVATION] = i32::from(key[RESERVATION] != NULL);
            self.class_of(columns, key)
        }));
    }

    fn class_of(&mut self, columns: &RepeatingColumns, key: ChargeKey) -> i32 {
        if let Some((last, class)) = self.last
            && last == key
        {
            return class;
        }
        let class = match self.known.get(&key) {
            Some(class) => *class,
            None => {
                let class = ChargeClass::of(&self.facts(columns, &key)).code();
                self.known.insert(key, class);
                class
            }
        };
        self.last = Some((key, class));
        class
    }

    fn facts<'t>(&self, columns: &'t RepeatingColumns, key: &ChargeKey) -> ChargeFacts<'t> {
        let value = |at: Option<usize>, code| at.map_or("", |at| columns.text(at, code));
        ChargeFacts {
            charge_type: self.charge_type.map(|at| columns.text(at, key[0])),
            pricing_model: value(self.pricing_model, key[1]),
            publisher_type: value(self.publisher_type, key[2]),
            benefit_id: value(self.benefit_id, key[3]),
            has_reservation_id: key[RESERVATION] != 0,
            correction: value(self.correction, key[5]),
            commitment_type: value(self.commitment_type, key[6]),
            commitment_status: value(self.commitment_status, key[7]),
        }
    }
}
