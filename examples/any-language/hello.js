// A worker in Node: an HTTP server that listens where it is told to. It needs no package.
'use strict';
const http = require('node:http');

const where = process.argv[2]; // a port, or the path of a Unix socket
let config = JSON.parse(process.env.SERVE_USER_CONFIG ?? '{}');

const server = http.createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8');
  request.on('data', (text) => { body += text; });
  request.on('end', () => {
    if (request.method === 'POST' && request.url === '/reconfigure') {
      config = JSON.parse(body);
      response.end();
      return;
    }

    response.setHeader('Content-Type', 'text/plain; charset=utf-8');
    response.end(`${config.greeting ?? 'Hello'} from Node, replica ${process.env.SERVE_REPLICA_RANK}: ${request.method} ${request.url}\n`);
  });
});

server.listen(/^\d+$/.test(where) ? { host: '127.0.0.1', port: Number(where) } : { path: where });
