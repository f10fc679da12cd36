//! The columns of a Parquet file, and its rows as text.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type, i256,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::{Int96, Int96Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::{SchemaDescriptor, Type};

use super::{Pieces, cells, damaged, unsupported};

/// Rows decoded at once: of a real file, some MB.
const BATCH_ROWS: usize = 4096;
/// The day that INT96 counts from is so many days before 1970-01-01.
const JULIAN_DAY_OF_1970: i64 = 2_440_588;
const SECONDS_OF_DAY: i64 = 86_400;
const NANOSECONDS: i64 = 1_000_000_000;

/// A Parquet file, all of whose columns can be written as text.
pub(super) struct Table {
    file: Arc<File>,
    metadata: ArrowReaderMetadata,
    columns: Vec<Column>,
}

/// A column, as the footer describes it.
struct Column {
    name: String,
    kind: Kind,
}

/// Who decodes a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Arrow, exactly.
    Arrow,
    /// Arrow, to bytes that are the number of a UUID.
    Uuid,
    /// We: Arrow's moments have 64 bits, in which an INT96 does not fit.
    Int96,
}

/// Writes the value in a row. Null rows are not asked for.
type Write = Box<dyn Fn(usize, &mut Vec<u8>)>;

/// Some rows of a column.
struct Cells {
    nulls: Option<NullBuffer>,
    write: Write,
}

impl Table {
    /// Reads the footer and checks all that it says.
    pub(super) fn open(file: File) -> io::Result<Self> {
        check_footer(&file)?;
        // What writers add about Arrow's types is left aside: a value is what its Parquet type says.
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_page_index_policy(PageIndexPolicy::Skip);
        let described = ArrowReaderMetadata::load(&file, options.clone()).map_err(refused)?;
        let columns = columns_of(described.parquet_schema())?;
        check_compression(described.metadata())?;
        check_values(described.metadata())?;
        check_not_glued(&file, described.metadata())?;
        // Texts are read as bytes: one that is no UTF-8 is the matter of its row, not of the file.
        let options = options.with_parquet_schema(without_text(described.parquet_schema())?);
        let bytes = ArrowReaderMetadata::load(&file, options.clone()).map_err(refused)?;
        check_types(bytes.schema())?;
        let options = options.with_schema(Arc::new(with_views(bytes.schema())));
        let metadata =
            ArrowReaderMetadata::try_new(Arc::clone(bytes.metadata()), options).map_err(refused)?;
        Ok(Self { file: Arc::new(file), metadata, columns })
    }

    /// The names of the columns of floats.
    pub(super) fn float_columns(&self) -> Vec<String> {
        let fields = self.metadata.schema().fields().iter();
        let floats = fields.filter(|field| field.data_type().is_floating());
        floats.map(|field| field.name().clone()).collect()
    }

    /// Writes the header and all rows.
    pub(super) fn write(&self, out: &mut Pieces<'_>) -> io::Result<()> {
        for (at, column) in self.columns.iter().enumerate() {
            separate(at, &mut out.text);
            cells::write_text(column.name.as_bytes(), &mut out.text);
        }
        out.text.push(b'\n');
        let mut rows = 0;
        for group in 0..self.metadata.metadata().num_row_groups() {
            rows += self.write_group(group, out)?;
        }
        check_rows(rows, self.metadata.metadata().file_metadata().num_rows(), "the file")
    }

    /// Writes the rows of a row group; returns how many they are.
    fn write_group(&self, group: usize, out: &mut Pieces<'_>) -> io::Result<u64> {
        let is_ours = |at: &usize| self.columns[*at].kind == Kind::Int96;
        let (ours, theirs): (Vec<usize>, Vec<usize>) = (0..self.columns.len()).partition(is_ours);
        let mut moments = ours
            .into_iter()
            .map(|column| Moments::open(&self.file, self.metadata.metadata(), group, column))
            .collect::<io::Result<Vec<_>>>()?;
        let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), theirs);
        let file = self.file.try_clone()?;
        let batches =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS)
                .build()
                .map_err(refused)?;
        let mut rows = 0;
        for batch in batches {
            let batch = batch.map_err(damaged)?;
            write_rows(&self.cells(&batch, &mut moments)?, batch.num_rows(), out)?;
            rows += batch.num_rows() as u64;
        }
        let expected = self.metadata.metadata().row_group(group).num_rows();
        check_rows(rows, expected, "a row group")?;
        Ok(rows)
    }

    /// The cells of a batch, with those of moments at their places.
    fn cells(&self, batch: &RecordBatch, moments: &mut [Moments]) -> io::Result<Vec<Cells>> {
        let (mut arrays, mut moments) = (batch.columns().iter(), moments.iter_mut());
        let missing = || damaged("a column is missing");
        let cells = self.columns.iter().map(|column| match column.kind {
            Kind::Int96 => moments.next().ok_or_else(missing)?.read(batch.num_rows()),
            kind => Cells::of_array(arrays.next().ok_or_else(missing)?, kind),
        });
        cells.collect()
    }
}

fn write_rows(columns: &[Cells], rows: usize, out: &mut Pieces<'_>) -> io::Result<()> {
    for row in 0..rows {
        for (at, column) in columns.iter().enumerate() {
            separate(at, &mut out.text);
            if column.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                (column.write)(row, &mut out.text);
                out.send_full()?;
            }
        }
        out.text.push(b'\n');
    }
    Ok(())
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

impl Cells {
    fn of_array(array: &ArrayRef, kind: Kind) -> io::Result<Self> {
        Ok(Self { nulls: array.logical_nulls(), write: writer(array, kind)? })
    }
}

/// How the values of an array are written.
fn writer(array: &ArrayRef, kind: Kind) -> io::Result<Write> {
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => {
            let array = array.as_boolean().clone();
            Box::new(move |row, out| {
                out.extend_from_slice(if array.value(row) { b"True" } else { b"False" });
            })
        }
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => integers::<UInt64Type>(array),
        DataType::Float32 => each::<Float32Type>(array, cells::write_single),
        DataType::Float64 => each::<Float64Type>(array, cells::write_double),
        DataType::Decimal128(_, scale) => {
            let scale = usize::try_from(*scale).map_err(damaged)?;
            each::<Decimal128Type>(array, move |value, out| cells::write_decimal(value, scale, out))
        }
        DataType::Decimal256(_, scale) => {
            let scale = usize::try_from(*scale).map_err(damaged)?;
            each::<Decimal256Type>(array, move |value, out| write_wide(value, scale, out))
        }
        DataType::Date32 => {
            each::<Date32Type>(array, |days, out| cells::write_day(days.into(), out))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            moments::<TimestampMillisecondType>(array, 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            moments::<TimestampMicrosecondType>(array, 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            moments::<TimestampNanosecondType>(array, NANOSECONDS)
        }
        DataType::BinaryView => {
            let array = array.as_binary_view().clone();
            Box::new(move |row, out| cells::write_text(array.value(row), out))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary().clone();
            let write = if kind == Kind::Uuid { cells::write_uuid } else { cells::write_text };
            Box::new(move |row, out| write(array.value(row), out))
        }
        other => return Err(unsupported(format!("values of the type {other} have no text"))),
    })
}

fn each<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    write: impl Fn(T::Native, &mut Vec<u8>) + 'static,
) -> Write {
    let values = array.as_primitive::<T>().values().clone();
    Box::new(move |row, out| write(values[row], out))
}

fn integers<T: ArrowPrimitiveType>(array: &ArrayRef) -> Write
where
    T::Native: Into<i128>,
{
    each::<T>(array, |value, out| cells::write_decimal(value.into(), 0, out))
}

fn moments<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, per_second: i64) -> Write {
    each::<T>(array, move |value, out| {
        let fraction = value.rem_euclid(per_second) * (NANOSECONDS / per_second);
        cells::write_moment(value.div_euclid(per_second), fraction, out);
    })
}

/// Writes a decimal of 256 bits; few of them need so many.
fn write_wide(value: i256, scale: usize, out: &mut Vec<u8>) {
    if let Some(value) = value.to_i128() {
        return cells::write_decimal(value, scale, out);
    }
    let text = value.to_string();
    let digits = text.strip_prefix('-');
    if digits.is_some() {
        out.push(b'-');
    }
    cells::write_digits(digits.unwrap_or(&text).as_bytes(), scale, out);
}

/// The moments of a column of INT96.
struct Moments {
    reader: ColumnReaderImpl<Int96Type>,
    is_nullable: bool,
}

impl Moments {
    fn open(
        file: &Arc<File>,
        metadata: &ParquetMetaData,
        group: usize,
        column: usize,
    ) -> io::Result<Self> {
        let group = metadata.row_group(group);
        let rows = usize::try_from(group.num_rows()).map_err(damaged)?;
        let pages = SerializedPageReader::new(Arc::clone(file), group.column(column), rows, None)
            .map_err(refused)?;
        let described = metadata.file_metadata().schema_descr().column(column);
        let is_nullable = described.max_def_level() > 0;
        let reader = get_typed_column_reader(get_column_reader(described, Box::new(pages)));
        Ok(Self { reader, is_nullable })
    }

    /// The next moments.
    fn read(&mut self, rows: usize) -> io::Result<Cells> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let mut read = 0;
        while read < rows {
            let (records, ..) = self
                .reader
                .read_records(rows - read, Some(&mut levels), None, &mut values)
                .map_err(refused)?;
            if records == 0 {
                return Err(damaged(format!("a column ends after {read} of {rows} rows")));
            }
            read += records;
        }
        let whole = if self.is_nullable { levels.len() == rows } else { values.len() == rows };
        if !whole {
            return Err(damaged(format!("a column does not have {rows} values")));
        }
        if !self.is_nullable {
            let write = move |row: usize, out: &mut Vec<u8>| write_int96(&values[row], out);
            return Ok(Cells { nulls: None, write: Box::new(write) });
        }
        // Values stand one behind the other, without gaps for nulls.
        let mut values = values.into_iter();
        let spread = levels.iter().map(|level| if *level > 0 { values.next() } else { None });
        let spread = spread.collect::<Vec<Option<Int96>>>();
        let nulls = spread.iter().map(Option::is_some).collect();
        let write = move |row: usize, out: &mut Vec<u8>| {
            if let Some(value) = &spread[row] {
                write_int96(value, out);
            }
        };
        Ok(Cells { nulls: Some(nulls), write: Box::new(write) })
    }
}

/// Writes a day and the nanoseconds in it; of these, there may be more than a day has.
fn write_int96(value: &Int96, out: &mut Vec<u8>) {
    let [low, high, day] = *value.data() else { return };
    let nanoseconds = i64::from(high).wrapping_shl(32) | i64::from(low);
    let days = i64::from(day.cast_signed()) - JULIAN_DAY_OF_1970;
    let seconds = days * SECONDS_OF_DAY + nanoseconds.div_euclid(NANOSECONDS);
    cells::write_moment(seconds, nanoseconds.rem_euclid(NANOSECONDS), out);
}

/// Looks at the end of the file first: what is wrong there is best said in our own words.
fn check_footer(mut file: &File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(4)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    match end.as_slice() {
        b"PAR1" => Ok(()),
        b"PARE" => Err(unsupported("the Parquet file is encrypted")),
        _ => Err(damaged("it has no footer, so its end is missing")),
    }
}

/// Every column of a row group has a value, or a null, for each of its rows.
fn check_values(metadata: &ParquetMetaData) -> io::Result<()> {
    for group in metadata.row_groups() {
        let rows = group.num_rows();
        if let Some(column) = group.columns().iter().find(|column| column.num_values() != rows) {
            let (name, values) = (column.column_path().string(), column.num_values());
            return Err(damaged(format!(
                "column `{name}` has {values} values in a row group of {rows} rows"
            )));
        }
    }
    Ok(())
}

/// Refuses files that were glued together: their last footer speaks of one of them, and the rows of the
/// others would be lost in silence. Between the rows and the footer there are indexes at most.
fn check_not_glued(mut file: &File, metadata: &ParquetMetaData) -> io::Result<()> {
    const SEAM: &[u8] = b"PAR1PAR1";
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let ends =
        chunks.map(|chunk| chunk.byte_range()).map(|(start, length)| start.saturating_add(length));
    file.seek(SeekFrom::Start(ends.max().unwrap_or_default()))?;
    let mut window = Vec::new();
    while file.take(1 << 16).read_to_end(&mut window)? > 0 {
        if window.windows(SEAM.len()).any(|bytes| bytes == SEAM) {
            return Err(damaged("several files were glued together"));
        }
        window.drain(..window.len().saturating_sub(SEAM.len() - 1));
    }
    Ok(())
}

fn columns_of(schema: &SchemaDescriptor) -> io::Result<Vec<Column>> {
    let column = |field: &Arc<Type>| {
        let info = field.get_basic_info();
        let name = field.name().to_owned();
        if field.is_group() || info.repetition() == Repetition::REPEATED {
            return Err(unsupported(format!("column `{name}` is a list, a map or a struct")));
        }
        let kind = match (field.get_physical_type(), info.logical_type_ref()) {
            (_, Some(LogicalType::Unknown)) => Kind::Arrow,
            (PhysicalType::INT96, _) => Kind::Int96,
            (_, Some(LogicalType::Uuid)) => Kind::Uuid,
            _ => Kind::Arrow,
        };
        Ok(Column { name, kind })
    };
    schema.root_schema().get_fields().iter().map(column).collect()
}

fn check_compression(metadata: &ParquetMetaData) -> io::Result<()> {
    let mut chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let unknown = chunks
        .find(|chunk| matches!(chunk.compression(), Compression::BROTLI(_) | Compression::LZO));
    let Some(chunk) = unknown else { return Ok(()) };
    let compression = if chunk.compression() == Compression::LZO { "LZO" } else { "Brotli" };
    Err(unsupported(format!(
        "column `{}` is compressed with {compression}; expected Snappy, Gzip, Zstandard, LZ4 or none",
        chunk.column_path().string()
    )))
}

/// The schema with texts as plain bytes, for those that Parquet marks as text, JSON and such.
fn without_text(schema: &SchemaDescriptor) -> io::Result<Arc<SchemaDescriptor>> {
    let plain = |field: &Arc<Type>| {
        let info = field.get_basic_info();
        let is_decimal = matches!(info.logical_type_ref(), Some(LogicalType::Decimal(_)))
            || info.converted_type() == ConvertedType::DECIMAL;
        let is_unknown = info.logical_type_ref() == Some(&LogicalType::Unknown);
        if field.get_physical_type() != PhysicalType::BYTE_ARRAY || is_decimal || is_unknown {
            return Ok(Arc::clone(field));
        }
        let builder = Type::primitive_type_builder(field.name(), PhysicalType::BYTE_ARRAY);
        builder.with_repetition(info.repetition()).build().map(Arc::new).map_err(refused)
    };
    let root = schema.root_schema();
    let fields = root.get_fields().iter().map(plain).collect::<io::Result<Vec<_>>>()?;
    let root =
        Type::group_type_builder(root.name()).with_fields(fields).build().map_err(refused)?;
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(root))))
}

/// The schema with bytes as views, so that a text is not copied for each of the rows that have it.
fn with_views(schema: &Schema) -> Schema {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Binary => Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView)),
        _ => Arc::clone(field),
    };
    Schema::new(schema.fields().iter().map(view).collect::<Vec<_>>())
}

fn check_types(schema: &Schema) -> io::Result<()> {
    let has_text = |field: &&Arc<Field>| match field.data_type() {
        DataType::Timestamp(unit, _) => *unit != TimeUnit::Second,
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale >= 0,
        DataType::Float16 => false,
        other => {
            other.is_integer()
                || other.is_floating()
                || matches!(
                    other,
                    DataType::Null
                        | DataType::Boolean
                        | DataType::Date32
                        | DataType::Binary
                        | DataType::FixedSizeBinary(_)
                )
        }
    };
    match schema.fields().iter().find(|field| !has_text(field)) {
        Some(field) => Err(unsupported(format!(
            "column `{}` has the type {}, which no column of a cost file has",
            field.name(),
            field.data_type()
        ))),
        None => Ok(()),
    }
}

/// Compares the rows that were read with those that the footer names.
fn check_rows(rows: u64, expected: i64, what: &str) -> io::Result<()> {
    if u64::try_from(expected).is_ok_and(|expected| expected == rows) {
        return Ok(());
    }
    Err(damaged(format!("{what} has {rows} rows, its footer says {expected}")))
}

/// Returns the error of a file that the library does not read.
fn refused(error: ParquetError) -> io::Error {
    match error {
        ParquetError::NYI(problem) => unsupported(format!("the Parquet file: {problem}")),
        error => damaged(error),
    }
}
