use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// How an operation fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    /// The disk is full: nothing happens.
    Refused,
    /// It happens, but the answer is lost.
    AnswerLost,
    /// The process dies before it: nothing happens, then or ever after.
    Killed,
}

impl Failure {
    pub(crate) const ALL: [Self; 3] = [Self::Refused, Self::AnswerLost, Self::Killed];
}

/// A store whose n-th operation fails, counted from 0; listing does not count.
#[derive(Clone, Debug)]
pub(crate) struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    only: &'static str,
    left: Arc<AtomicI64>,
    failure: Failure,
}

enum Verdict {
    Proceed,
    Refuse,
    LoseAnswer,
}

impl FailingStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, failure: Failure, at: i64) -> Self {
        Self::of_operation("", inner, failure, at)
    }

    /// A store whose n-th operation of one kind fails.
    pub(crate) fn of_operation(
        only: &'static str,
        inner: Arc<dyn ObjectStore>,
        failure: Failure,
        at: i64,
    ) -> Self {
        Self { inner, only, left: Arc::new(AtomicI64::new(at)), failure }
    }

    /// Whether the operation that was to fail has come.
    pub(crate) fn has_failed(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }

    fn verdict(&self, operation: &str) -> Verdict {
        if !self.only.is_empty() && self.only != operation {
            return Verdict::Proceed;
        }
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        match self.failure {
            Failure::Killed if left <= 0 => Verdict::Refuse,
            Failure::Refused if left == 0 => Verdict::Refuse,
            Failure::AnswerLost if left == 0 => Verdict::LoseAnswer,
            _ => Verdict::Proceed,
        }
    }

    async fn run<T>(&self, operation: &str, run: impl Future<Output = Result<T>>) -> Result<T> {
        match self.verdict(operation) {
            Verdict::Proceed => run.await,
            Verdict::Refuse => Err(failed()),
            Verdict::LoseAnswer => {
                run.await?;
                Err(failed())
            }
        }
    }
}

fn failed() -> object_store::Error {
    object_store::Error::Generic {
        store: "failing",
        source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failing")
    }
}

impl ObjectStore for FailingStore {
    fn put_opts<'s, 'p, 'f>(
        &'s self,
        path: &'p Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Boxed<'f, PutResult>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(self.run("put", self.inner.put_opts(path, payload, options)))
    }

    fn put_multipart_opts<'s, 'p, 'f>(
        &'s self,
        path: &'p Path,
        options: PutMultipartOptions,
    ) -> Boxed<'f, Box<dyn MultipartUpload>>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let upload = self.run("create", self.inner.put_multipart_opts(path, options)).await?;
            let store = self.clone();
            Ok(Box::new(FailingUpload { upload, store }) as Box<dyn MultipartUpload>)
        })
    }

    fn get_opts<'s, 'p, 'f>(&'s self, path: &'p Path, options: GetOptions) -> Boxed<'f, GetResult>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        Box::pin(self.run("get", self.inner.get_opts(path, options)))
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.verdict("delete") {
            Verdict::Proceed => self.inner.delete_stream(paths),
            Verdict::Refuse => futures::stream::iter([Err(failed())]).boxed(),
            Verdict::LoseAnswer => self.inner.delete_stream(paths).map(|_| Err(failed())).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'s, 'p, 'f>(&'s self, prefix: Option<&'p Path>) -> Boxed<'f, ListResult>
    where
        's: 'f,
        'p: 'f,
        Self: 'f,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'s, 'a, 'b, 'f>(
        &'s self,
        from: &'a Path,
        to: &'b Path,
        options: CopyOptions,
    ) -> Boxed<'f, ()>
    where
        's: 'f,
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        Box::pin(self.run("copy", self.inner.copy_opts(from, to, options)))
    }

    fn rename_opts<'s, 'a, 'b, 'f>(
        &'s self,
        from: &'a Path,
        to: &'b Path,
        options: RenameOptions,
    ) -> Boxed<'f, ()>
    where
        's: 'f,
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        Box::pin(self.run("rename", self.inner.rename_opts(from, to, options)))
    }
}

#[derive(Debug)]
struct FailingUpload {
    upload: Box<dyn MultipartUpload>,
    store: FailingStore,
}

impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let store = self.store.clone();
        let part = self.upload.put_part(data);
        Box::pin(async move { store.run("part", part).await })
    }

    fn complete<'s, 'f>(&'s mut self) -> Boxed<'f, PutResult>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.store.run("complete", self.upload.complete()))
    }

    fn abort<'s, 'f>(&'s mut self) -> Boxed<'f, ()>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(self.store.run("abort", self.upload.abort()))
    }
}
