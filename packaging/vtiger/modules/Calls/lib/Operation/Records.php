<?php

/**
 * `records`: upserts a batch by id and (term, revision). Every record is judged alone; what was done before PHP dies at one of
 * them stands, and answerAfterDeath says so.
 */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\DbFault;
use PinCalls\Identity\Client;
use PinCalls\Identity\ClientFinder;
use PinCalls\Identity\Newcomers;
use PinCalls\Identity\OwnerRule;
use PinCalls\Identity\UserFinder;
use PinCalls\Record\Atomic;
use PinCalls\Record\BadRecord;
use PinCalls\Record\CallFields;
use PinCalls\Record\CallRecord;
use PinCalls\Record\CallStore;
use PinCalls\Record\Claims;
use PinCalls\Record\Companions;
use PinCalls\Settings\Connector;
use PinCalls\Wire\Endpoint;
use PinCalls\Wire\Refusal;

class Records
{
    private Claims $claims;
    private CallStore $store;
    private ClientFinder $clients;
    private UserFinder $users;
    private OwnerRule $owners;
    private Companions $companions;
    private Newcomers $newcomers;
    private Atomic $atomic;
    /** @var list<array<string, mixed>> */
    private array $results = [];
    /** @var list<mixed> */
    private array $waiting = [];

    public function __construct(
        Claims $claims,
        CallStore $store,
        ClientFinder $clients,
        UserFinder $users,
        OwnerRule $owners,
        Companions $companions,
        Newcomers $newcomers,
        Atomic $atomic
    ) {
        $this->claims = $claims;
        $this->store = $store;
        $this->clients = $clients;
        $this->users = $users;
        $this->owners = $owners;
        $this->companions = $companions;
        $this->newcomers = $newcomers;
        $this->atomic = $atomic;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        $records = $request['records'] ?? null;
        if (!is_array($records) || $records !== array_values($records)) {
            throw new Refusal(400, 'bad_request', '"records" is to be a list.');
        }
        if (count($records) > Endpoint::RECORDS_MAX) {
            throw Endpoint::tooLarge();
        }
        $this->results = [];
        $this->waiting = $records;
        $claims = $this->claims->of($connector->id, self::ids($records));
        while ($this->waiting !== []) {
            $this->results[] = $this->judged($this->waiting[0], $connector, $claims);
            array_shift($this->waiting);
        }
        return ['results' => $this->results];
    }

    /**
     * What to answer when PHP died at a record (out of memory, a fatal error in somebody's event handler): null if it died elsewhere.
     *
     * @return array<string, mixed>|null
     */
    public function answerAfterDeath(string $lastWords): ?array
    {
        if ($this->waiting === []) {
            return null;
        }
        $results = $this->results;
        $killer = array_shift($this->waiting);
        $results[] = ['id' => self::id($killer), 'result' => 'rejected', 'reason' => "vTiger stopped while saving: $lastWords"];
        foreach ($this->waiting as $record) {
            $results[] = ['id' => self::id($record), 'result' => 'retry', 'reason' => 'not reached'];
        }
        return ['results' => $results];
    }

    /**
     * @param mixed $wire
     * @param array<string, array{crmid: int, revision: int, term: int, auto_owner: int, forgotten: bool}> $claims
     * @return array<string, mixed>
     */
    private function judged($wire, Connector $connector, array $claims): array
    {
        $id = self::id($wire);
        $claim = $claims[$id] ?? null;
        try {
            $call = CallRecord::fromWire($wire);
            return $this->known($call, $claim) ?? $this->saved($call, $connector);
        } catch (BadRecord $bad) {
            return self::result($id, 'rejected', ['reason' => $bad->getMessage()], $claim['crmid'] ?? 0);
        } catch (DbFault $fault) {
            return self::result($id, 'retry', ['reason' => $fault->getMessage()], $claim['crmid'] ?? 0);
        } catch (\Throwable $fault) {
            return self::result($id, 'rejected', ['reason' => Endpoint::inWords($fault)], $claim['crmid'] ?? 0);
        }
    }

    /**
     * @param array{crmid: int, revision: int, term: int, auto_owner: int, forgotten: bool}|null $claim
     * @return array<string, mixed>|null null: there is something to save
     */
    private function known(CallRecord $call, ?array $claim): ?array
    {
        if ($claim === null) {
            return null;
        }
        if ($claim['term'] > $call->term && !$claim['forgotten']) {
            // Of two connectors for one exchange the younger term speaks; the older one hears of it from its lease, too.
            $reason = sprintf('another connector has taken over (term %d, this is %d)', $claim['term'], $call->term);
            return self::result($call->id, 'retry', ['reason' => $reason], $claim['crmid']);
        }
        if ($claim['term'] < $call->term && !$claim['forgotten']) {
            return null;
        }
        if ($claim['forgotten'] || $claim['revision'] === $call->revision) {
            return self::result($call->id, 'unchanged', ['revision' => $call->revision], $claim['crmid']);
        }
        if ($claim['revision'] > $call->revision) {
            return self::result($call->id, 'stale', ['revision' => $claim['revision']], $claim['crmid']);
        }
        return null;
    }

    /** @return array<string, mixed> */
    private function saved(CallRecord $call, Connector $connector): array
    {
        if (!$this->claims->lock($connector->id, $call->id)) {
            return self::result($call->id, 'retry', ['reason' => 'another request is saving this call'], 0);
        }
        try {
            return $this->atomic->run(function () use ($call, $connector): array {
                return $this->upserted($call, $connector);
            });
        } finally {
            $this->claims->unlock($connector->id, $call->id);
        }
    }

    /** @return array<string, mixed> */
    private function upserted(CallRecord $call, Connector $connector): array
    {
        $claim = $this->claims->of($connector->id, [$call->id])[$call->id] ?? null;
        $known = $this->known($call, $claim);
        if ($known !== null) {
            return $known;
        }
        $crmId = $claim['crmid'] ?? 0;
        if ($call->text('superseded_by') !== '') {
            $this->dropped($call, $crmId);
            $this->claims->write($connector->id, $call, 0, 0);
            return self::result($call->id, 'saved', ['revision' => $call->revision], 0);
        }
        if ($crmId === 0 && $call->beganInMidCall()) {
            $crmId = $this->claims->sameParty($connector->id, $call);
        }
        [$crmId, $autoOwner] = $this->write($call, $connector, $crmId, $claim['auto_owner'] ?? 0);
        $this->claims->write($connector->id, $call, $crmId, $autoOwner);
        return self::result($call->id, 'saved', ['revision' => $call->revision], $crmId);
    }

    /** Another record has taken its place, or the call belongs to another CRM. Should it come back, it comes as a new one. */
    private function dropped(CallRecord $call, int $crmId): void
    {
        if ($crmId !== 0) {
            $this->companions->silence($crmId);
            $this->store->remove($crmId);
        }
    }

    /** @return array{0: int, 1: int} the vTiger record and the owner we gave it */
    private function write(CallRecord $call, Connector $connector, int $crmId, int $autoOwner): array
    {
        $stored = $crmId === 0 ? null : $this->store->stored($crmId);
        if ($crmId !== 0 && $stored === null) {
            // Somebody deleted the call in vTiger. It stays deleted; the revision is remembered, so that this is said once.
            return [$crmId, $autoOwner];
        }
        $userId = $this->userOf($call, $stored);
        $client = $this->clientOf($call, $stored);
        $owner = $this->owners->owner($call, $userId, $client);
        if ($client === null && $stored === null) {
            $client = $this->newcomers->clientOf($call, $owner);
        }
        $fields = CallFields::of($call);
        $fields['call_connector'] = $connector->id;
        $fields['crm_user'] = $userId === 0 ? '' : $userId;
        $fields['assigned_user_id'] = $owner;
        $fields += $this->links($call, $client, $stored);
        if ($stored === null) {
            // Nobody saw this call while it went on: the connection was down, or it was read from the exchange's own list.
            $fields['told_late'] = $call->is('live') ? 0 : 1;
            $crmId = $this->store->create($fields);
            $autoOwner = $owner;
        } else {
            $fields = $this->keepingWhatPeopleSet($fields, $stored, $call, $autoOwner);
            $autoOwner = (int) $fields['assigned_user_id'] === $owner ? $owner : $autoOwner;
            $this->store->update($crmId, $fields);
        }
        $this->companions->write($crmId, $call, $userId, $client);
        return [$crmId, $autoOwner];
    }

    /**
     * The user of a call is found once for its phone: who changes seats afterwards takes no calls of yesterday along.
     *
     * @param array<string, string>|null $stored
     */
    private function userOf(CallRecord $call, ?array $stored): int
    {
        if ($stored !== null && (int) $stored['crm_user'] > 0 && self::samePhone($call, $stored)) {
            return (int) $stored['crm_user'];
        }
        $userId = $this->users->byExtension($call->pbx, $call->text('extension'), $call->startedAt);
        return $userId !== 0 ? $userId : $this->users->byMobile($call->text('phone'));
    }

    /** @param array<string, string> $stored */
    private static function samePhone(CallRecord $call, array $stored): bool
    {
        return $stored['call_extension'] === $call->text('extension') && $stored['call_phone'] === $call->text('phone')
            && $stored['call_pbx'] === $call->pbx;
    }

    /** @param array<string, string>|null $stored */
    private function clientOf(CallRecord $call, ?array $stored): ?Client
    {
        if ($call->direction === 'internal') {
            return null;
        }
        $clicked = (int) $call->text('crm_record');
        if ($clicked > 0) {
            $client = $this->companions->clientOfRecord($clicked);
            if ($client !== null) {
                return $client;
            }
        }
        $linked = (int) ($stored['call_client'] ?? 0);
        if ($linked > 0) {
            $client = $this->clients->byIds([$linked])[0] ?? null;
            if ($client !== null) {
                return $client;
            }
        }
        return $this->clients->byNumber($call->clientNumber());
    }

    /**
     * @param array<string, string>|null $stored
     * @return array<string, int|string>
     */
    private function links(CallRecord $call, ?Client $client, ?array $stored): array
    {
        $clientId = $client === null ? '' : $client->crmId;
        $ticketId = $this->companions->ticketOfRecord((int) $call->text('crm_record'));
        $ticket = $ticketId !== 0 ? $ticketId : (string) ($stored['call_ticket'] ?? '');
        $isMain = $call->is('lead');
        return [
            'call_client' => $clientId,
            'main_client' => $isMain ? $clientId : '',
            'call_ticket' => $ticket,
            'main_ticket' => $isMain ? $ticket : '',
        ];
    }

    /**
     * @param array<string, string|int> $fields
     * @param array<string, string> $stored
     * @return array<string, string|int>
     */
    private function keepingWhatPeopleSet(array $fields, array $stored, CallRecord $call, int $autoOwner): array
    {
        if ($autoOwner === 0 || (int) $stored['assigned_user_id'] !== $autoOwner) {
            $fields['assigned_user_id'] = (int) $stored['assigned_user_id'];
        }
        // Closed by hand here while the connector had not heard of it yet: its next revision says closed, too.
        if ($stored['call_follow_up'] === 'closed' && in_array($call->text('follow_up'), ['open', 'tried'], true)) {
            $fields['call_follow_up'] = 'closed';
        }
        if ($call->beganInMidCall() && $stored['call_id'] !== $call->id) {
            $fields['call_id'] = $stored['call_id'];
            foreach (['call_started', 'call_answered'] as $moment) {
                if ($stored[$moment] !== '' && ($fields[$moment] === '' || $stored[$moment] < $fields[$moment])) {
                    $fields[$moment] = $stored[$moment];
                }
            }
        }
        return $fields;
    }

    /**
     * @param array<string, mixed> $facts
     * @return array<string, mixed>
     */
    private static function result(string $id, string $word, array $facts, int $crmId): array
    {
        $result = ['id' => $id, 'result' => $word] + $facts;
        return $crmId > 0 ? $result + ['crm_id' => (string) $crmId] : $result;
    }

    /**
     * @param list<mixed> $records
     * @return list<string>
     */
    private static function ids(array $records): array
    {
        return array_values(array_filter(array_map([self::class, 'id'], $records), 'strlen'));
    }

    /** @param mixed $wire */
    private static function id($wire): string
    {
        $id = is_array($wire) ? ($wire['id'] ?? '') : '';
        return is_string($id) ? mb_substr($id, 0, 200) : '';
    }
}
