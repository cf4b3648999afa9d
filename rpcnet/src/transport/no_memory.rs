//! Stand-ins for the in-memory backend, in builds without the feature `testing`.
//!
//! Each type is uninhabited, so the compiler drops every branch that handles one. Code above the transport then needs no
//! `cfg`.

use std::{
    convert::Infallible,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;

use super::{
    ConnectionError, DatagramError, DialOptions, ListenOptions, ReadError, Room, WriteError, backend,
    connection,
};

#[derive(Debug, Clone)]
pub(crate) struct Network(Infallible);

#[derive(Debug, Clone)]
pub(crate) struct Endpoint(Infallible);

#[derive(Debug)]
pub(crate) struct Incoming(Infallible);

#[derive(Debug, Clone)]
pub(crate) struct Connection(Infallible);

#[derive(Debug)]
pub(in crate::transport) struct SendStream(Infallible);

#[derive(Debug)]
pub(in crate::transport) struct RecvStream(Infallible);

impl Network {
    pub(crate) fn endpoint(&self, _: SocketAddr) -> Option<Endpoint> {
        match self.0 {}
    }
}

impl Endpoint {
    pub(in crate::transport) fn listen(&self, _: Vec<Vec<u8>>, _: ListenOptions) {
        match self.0 {}
    }

    pub(in crate::transport) async fn dial(
        &self,
        _: SocketAddr,
        _: &[u8],
        _: &DialOptions,
        _: Room,
    ) -> Result<connection::Connection, ConnectionError> {
        match self.0 {}
    }

    pub(in crate::transport) async fn accept(&self) -> Option<Incoming> {
        match self.0 {}
    }

    pub(in crate::transport) fn local_addr(&self) -> SocketAddr {
        match self.0 {}
    }

    pub(in crate::transport) fn close(&self, _: u32, _: &str) {
        match self.0 {}
    }
}

impl Incoming {
    pub(in crate::transport) fn remote_addr(&self) -> SocketAddr {
        match self.0 {}
    }

    pub(in crate::transport) async fn handshake(self) -> Result<connection::Connection, ConnectionError> {
        match self.0 {}
    }
}

impl backend::Connection for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        match self.0 {}
    }

    async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        match self.0 {}
    }

    async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        match self.0 {}
    }

    async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        match self.0 {}
    }

    fn send_datagram(&self, _: Bytes) -> Result<(), DatagramError> {
        match self.0 {}
    }

    async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        match self.0 {}
    }

    fn max_datagram_size(&self) -> Option<usize> {
        match self.0 {}
    }

    fn close(&self, _: u32, _: &str) {
        match self.0 {}
    }

    fn close_sent(&self) -> bool {
        match self.0 {}
    }

    async fn is_refused(&self) -> bool {
        match self.0 {}
    }

    async fn closed(&self) -> ConnectionError {
        match self.0 {}
    }

    fn close_reason(&self) -> Option<ConnectionError> {
        match self.0 {}
    }

    fn remote_addr(&self) -> SocketAddr {
        match self.0 {}
    }

    fn allow_streams(&self, _: u32) {
        match self.0 {}
    }

    fn rtt(&self) -> Duration {
        match self.0 {}
    }

    fn received_packets(&self) -> u64 {
        match self.0 {}
    }

    fn sent_packets(&self) -> u64 {
        match self.0 {}
    }

    fn lost_packets(&self) -> u64 {
        match self.0 {}
    }
}

impl backend::SendStream for SendStream {
    async fn write_chunks(&mut self, _: &mut [Bytes]) -> Result<(), WriteError> {
        match self.0 {}
    }

    fn poll_write_chunks(&mut self, _: &mut Context<'_>, _: &mut [Bytes]) -> Poll<Result<(), WriteError>> {
        match self.0 {}
    }

    fn finish(&mut self) {
        match self.0 {}
    }

    fn reset(&mut self, _: u32) {
        match self.0 {}
    }

    async fn stopped(&self) -> Result<Option<u32>, ConnectionError> {
        match self.0 {}
    }

    fn set_priority(&mut self, _: i32) {
        match self.0 {}
    }
}

impl backend::RecvStream for RecvStream {
    fn poll_read_chunk(&mut self, _: &mut Context<'_>, _: usize) -> Poll<Result<Option<Bytes>, ReadError>> {
        match self.0 {}
    }

    fn stop(&mut self, _: u32) {
        match self.0 {}
    }
}
