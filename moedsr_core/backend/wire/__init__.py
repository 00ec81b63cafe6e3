"""The wire protocol: requests that come in (request), records that go out (records, frames)."""
