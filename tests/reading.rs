//! CSV and Parquet as tests read them: with the plain readers, and nothing of the program.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::exact::Exact;

/// The rows of a CSV file by header.
pub(crate) struct CsvRows {
    header: csv::StringRecord,
    rows: Vec<csv::StringRecord>,
}

impl CsvRows {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().unwrap().clone();
        Self { header, rows: reader.records().map(Result::unwrap).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The texts of a column.
    pub(crate) fn column(&self, name: &str) -> impl Iterator<Item = &str> {
        let at = self.header.iter().position(|header| header == name).unwrap();
        self.rows.iter().map(move |row| &row[at])
    }
}

/// A Parquet object, whole.
pub(crate) struct ParquetRows(Vec<RecordBatch>);

impl ParquetRows {
    pub(crate) fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        Self(reader.map(Result::unwrap).collect())
    }

    /// Name, type and nullability of the columns of an object.
    pub(crate) fn columns_of(path: &Path) -> Vec<(String, String, bool)> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let fields = builder.schema().fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().to_string(), field.is_nullable()))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(RecordBatch::num_rows).sum()
    }

    pub(crate) fn texts(&self, column: &str) -> Vec<Option<String>> {
        self.cells(column, |array, row| array.as_string::<i32>().value(row).to_owned())
    }

    pub(crate) fn bytes(&self, column: &str) -> Vec<Option<Vec<u8>>> {
        self.cells(column, |array, row| array.as_binary::<i32>().value(row).to_owned())
    }

    pub(crate) fn integers(&self, column: &str) -> Vec<Option<i64>> {
        self.cells(column, |array, row| match array.data_type() {
            DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
            _ => array.as_primitive::<Int64Type>().value(row),
        })
    }

    pub(crate) fn amounts(&self, column: &str) -> Vec<Option<Exact>> {
        self.cells(column, |array, row| {
            assert_eq!(array.data_type(), &DataType::Decimal128(38, 24), "{column}");
            Exact::of_stored(array.as_primitive::<Decimal128Type>().value(row))
        })
    }

    fn cells<T>(&self, column: &str, cell: impl Fn(&dyn Array, usize) -> T) -> Vec<Option<T>> {
        let arrays = self.0.iter().map(|batch| batch.column_by_name(column).unwrap());
        let mut cells = Vec::new();
        for array in arrays {
            cells.extend((0..array.len()).map(|row| array.is_valid(row).then(|| cell(array, row))));
        }
        cells
    }
}
