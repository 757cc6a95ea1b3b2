"""The ledger's scripts: what must happen in Redis at once. Lua, run by the server.

The keys of one ledger:

    jobs    hash: egress id -> record (JSON) of each job that is pending or started
    state   hash: epoch (new whenever the ledger had to be made anew), seq (of the last change),
            v:<fleet> (how many places of the fleet were ever claimed), made (Unix time at which it
            was made anew), first (seq of the first change since)
    log     stream: the last changes, with ids 0-<seq>; the end of a job holds its record
    waiting hash: egress id -> record (JSON) of each request that waits for room, or was refused and
            has its place kept
    ended:<egress id>   record of a job that is over, for a while
    lost:<egress id>    a desk sees to this job, whose pod is gone

Every script is given the epoch and the seq that its desk has seen and returns

    {status, seq, changes since the desk's seq, record}

where a change is an entry of the log; all of them are one JSON text, which costs less to read than
replies within replies. Two statuses mean that nothing was done: `lost`, that this is
another ledger than the desk has seen, or an older state of it; `behind`, that more has changed than
the log keeps.
"""

from __future__ import annotations

from typing import Final

KEPT_CHANGES: Final = 10_000

_LEDGER: Final = f"""
local jobs, state, log, waiting = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function write(operation, id, fleet, record)
  local seq = redis.call('HINCRBY', state, 'seq', 1)
  redis.call('XADD', log, 'MAXLEN', '~', {KEPT_CHANGES}, '0-' .. seq,
             'op', operation, 'id', id, 'fleet', fleet, 'record', record)
end
"""

_PROLOGUE: Final = (
    _LEDGER
    + """
local epoch, seen = ARGV[1], tonumber(ARGV[2])

local function changes(status, record)
  local seq = tonumber(redis.call('HGET', state, 'seq') or '0')
  local missed = ''
  if seq > seen then
    local entries = redis.call('XRANGE', log, '0-' .. (seen + 1), '+')
    if #entries ~= seq - seen then return {'behind', seq, '', ''} end
    missed = cjson.encode(entries)
  end
  return {status, seq, missed, record or ''}
end

if redis.call('HGET', state, 'epoch') ~= epoch
    or tonumber(redis.call('HGET', state, 'seq') or '0') < seen then
  return {'lost', 0, '', ''}
end
"""
)

CLAIM: Final = (
    _PROLOGUE
    + """
local at = 4 + 2 * tonumber(ARGV[3])
for i = 4, at - 1, 2 do
  if (redis.call('HGET', state, 'v:' .. ARGV[i]) or '0') ~= ARGV[i + 1] then
    return changes('moved')
  end
end
local results = {}
for i = at, #ARGV, 5 do
  local id, fleet, token, replaces, record =
    ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local live = redis.call('HGET', jobs, id)
  local over = not live and redis.call('GET', KEYS[5 + (i - at) / 5])
  local before = live and cjson.decode(live)
  local free = live and not before['started_at']
    and (before['token'] == token or before['token'] == replaces)
  if live and not free then
    table.insert(results, {'live', live})
  elseif over then
    table.insert(results, {'ended', over})
  else
    redis.call('HSET', jobs, id, record)
    redis.call('HINCRBY', state, 'v:' .. fleet, 1)
    redis.call('HDEL', waiting, id)
    write('put', id, fleet, record)
    table.insert(results, {'claimed', ''})
  end
end
return changes('done', results)
"""
)
"""Claim places for jobs, all or none: KEYS jobs state log waiting, then ended:<id> of each; ARGV
epoch seen, how many fleets, each fleet and the version of it that was seen, then for each job id
fleet token replaces record. `moved` says that somebody else has claimed a place of a fleet
meanwhile. Else the record is a result for each job, where `live` and `ended` give the record of
the same id that stands in the way. Who has a place waits no more."""

FIND: Final = (
    _PROLOGUE
    + """
local live = redis.call('HGET', jobs, ARGV[3])
if live then return changes('live', live) end
return changes('ended', redis.call('GET', KEYS[5]) or '')
"""
)
"""What is known of an id: KEYS jobs state log waiting ended, ARGV epoch seen id."""

WAIT: Final = (
    _PROLOGUE
    + """
local id, fleet, record = ARGV[3], ARGV[4], ARGV[5]
local live = redis.call('HGET', jobs, id)
if live then return changes('live', live) end
local over = redis.call('GET', KEYS[5])
if over then return changes('ended', over) end
redis.call('HSET', waiting, id, record)
write('wait', id, fleet, record)
return changes('done')
"""
)
"""Let a request wait for room, unless something is known of its id: KEYS jobs state log waiting
ended, ARGV epoch seen id fleet record."""

WRITE: Final = (
    _PROLOGUE
    + """
local function start(id, token, record, keep, ended)
  local live = redis.call('HGET', jobs, id)
  if not live then
    -- It ended before its start was told: what the pod answered is still wanted by a retry.
    if redis.call('EXISTS', ended) == 1 then redis.call('SET', ended, record, 'EX', keep) end
    return
  end
  local before = cjson.decode(live)
  if before['token'] ~= token or before['started_at'] then return end
  redis.call('HSET', jobs, id, record)
  write('start', id, before['fleet'], record)
end

local function finish(id, token, record, keep, ended)
  local live = redis.call('HGET', jobs, id)
  if not live then
    -- Its end was heard before the pod's error, which a retry is to be told.
    if record ~= '' then redis.call('SET', ended, record, 'EX', keep) end
    return
  end
  local before = cjson.decode(live)
  if token ~= '' and before['token'] ~= token then return end
  redis.call('HDEL', jobs, id)
  if record == '' then record = live end
  if keep ~= '0' then redis.call('SET', ended, record, 'EX', keep) end
  write('end', id, before['fleet'], keep ~= '0' and live or '')
end

local function keep(id, token, record)
  if redis.call('HEXISTS', jobs, id) == 1 then return end
  redis.call('HSET', waiting, id, record)
  write('wait', id, '', record)
end

local function leave(id, token, record)
  if redis.call('HGET', waiting, id) ~= record then return end
  redis.call('HDEL', waiting, id)
  write('leave', id, '', '')
end

local operations = {start = start, ['end'] = finish, keep = keep, leave = leave}
for i = 3, #ARGV, 5 do
  operations[ARGV[i]](ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], KEYS[5 + (i - 3) / 5])
end
return changes('done')
"""
)
"""Note what became of jobs, in order: KEYS jobs state log waiting, then ended:<id> of each; ARGV
epoch seen, then for each operation id token record seconds-to-keep. Operations are

    start   the pod has said that it runs; only for the try that has the token
    end     it is over. An empty token ends every attempt, an empty record keeps the one
            there is, and with 0 seconds the id may be used again at once: nothing came of it
    keep    it was refused, and its place is kept as the record says
    leave   it waits no more; only while the record is what lies there
"""

SYNC: Final = (
    _PROLOGUE
    + """
for _, key in ipairs({jobs, state, log, waiting}) do redis.call('EXPIRE', key, ARGV[3]) end
return changes('done')
"""
)
"""Tell what was missed and keep the ledger alive: KEYS jobs state log waiting, ARGV epoch seen
seconds."""

OPEN: Final = (
    _LEDGER
    + """
local lost, fresh, now, jobs_end = ARGV[1], ARGV[2], ARGV[3], 4 + 2 * tonumber(ARGV[4])
local epoch = redis.call('HGET', state, 'epoch')
local anew = not epoch or epoch == lost
if anew then
  local first = tonumber(redis.call('HGET', state, 'seq') or '0') + 1
  redis.call('HSET', state, 'epoch', fresh, 'made', now, 'first', first)
  redis.call('DEL', log)
  for i = jobs_end + 1, #ARGV, 2 do redis.call('HSETNX', waiting, ARGV[i], ARGV[i + 1]) end
end
if anew or lost ~= '' then
  for i = 5, jobs_end, 2 do
    local id, record = ARGV[i], ARGV[i + 1]
    local over = redis.call('EXISTS', KEYS[5 + (i - 5) / 2]) == 1
    if not over and redis.call('HSETNX', jobs, id, record) == 1 and not anew then
      local fleet = cjson.decode(record)['fleet']
      redis.call('HINCRBY', state, 'v:' .. fleet, 1)
      write('put', id, fleet, record)
    end
  end
end
local ends, oldest, from = {}, '', ''
for _, entry in ipairs(redis.call('XRANGE', log, '-', '+')) do
  local operation, record = entry[2][2], entry[2][8]
  if from == '' then from = string.sub(entry[1], 3) end
  if operation == 'put' and oldest == '' then oldest = record end
  if operation == 'end' and record ~= '' then table.insert(ends, record) end
end
return {redis.call('HGETALL', state), redis.call('HVALS', jobs), redis.call('HVALS', waiting),
        ends, oldest, from}
"""
)
"""Read the whole ledger. Where there is none, or one that has lost its newest part, make it anew
with what the desk remembers: KEYS jobs state log waiting, then ended:<id> of each job; ARGV
lost-epoch fresh-epoch now, how many jobs, then pairs of egress id and record, of jobs and then of
those who wait. Others that come later find the fresh epoch, add the jobs that only they remember,
and read. It also tells what the log holds of ends: the records of jobs that are over, the record of
the first claim in it, and the seq of its first change."""
