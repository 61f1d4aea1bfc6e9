<?php

/**
 * `directory`: numbers to clients for the connector's own cache. First the whole table in the order of the numbers, then what the
 * journal of changes tells since; the cursor says which of the two and how far.
 */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\Db;
use PinCalls\Identity\ClientFinder;
use PinCalls\Identity\UserFinder;
use PinCalls\Settings\Connector;

class Directory
{
    private const LIMIT_MAX = 5000;
    /** A journal grows for ever otherwise; who is further behind walks the table again. */
    private const JOURNAL_KEPT = 200000;

    private Db $db;
    private ClientFinder $clients;
    private UserFinder $users;

    public function __construct(Db $db, ClientFinder $clients, UserFinder $users)
    {
        $this->db = $db;
        $this->clients = $clients;
        $this->users = $users;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        $cursor = is_string($request['cursor'] ?? null) ? $request['cursor'] : '';
        $limit = is_int($request['limit'] ?? null) ? $request['limit'] : 1000;
        $limit = max(1, min(self::LIMIT_MAX, $limit));
        if (preg_match('/^since:(\d+)$/', $cursor, $part) && $this->journalReachesBackTo((int) $part[1])) {
            return $this->since((int) $part[1], $limit);
        }
        if (preg_match('/^all:(\d+):(.*)$/s', $cursor, $part)) {
            return $this->all((int) $part[1], $part[2], $limit, false);
        }
        return $this->all($this->head(), '', $limit, true);
    }

    /** The cursor of somebody who knows everything. */
    public function headCursor(): string
    {
        return 'since:' . $this->head();
    }

    /** @return array<string, mixed> */
    private function all(int $head, string $after, int $limit, bool $reset): array
    {
        $rows = $this->db->rows(
            "SELECT DISTINCT number FROM vtiger_calls_phone WHERE number > ? ORDER BY number LIMIT $limit",
            [$after]
        );
        $numbers = array_map('strval', array_column($rows, 'number'));
        $more = count($numbers) === $limit;
        $cursor = $more ? "all:$head:" . end($numbers) : "since:$head";
        return ['reset' => $reset, 'more' => $more, 'cursor' => $cursor, 'entries' => $this->entries($numbers)];
    }

    /** @return array<string, mixed> */
    private function since(int $seq, int $limit): array
    {
        $rows = $this->db->rows(
            "SELECT seq, number FROM vtiger_calls_phone_change WHERE seq > ? ORDER BY seq LIMIT $limit",
            [$seq]
        );
        $last = $rows === [] ? $seq : (int) end($rows)['seq'];
        $numbers = array_values(array_unique(array_map('strval', array_column($rows, 'number'))));
        return [
            'reset' => false,
            'more' => count($rows) === $limit,
            'cursor' => "since:$last",
            'entries' => $this->entries(array_values(array_filter($numbers, 'strlen'))),
        ];
    }

    /**
     * @param list<string> $numbers
     * @return list<array<string, mixed>>
     */
    private function entries(array $numbers): array
    {
        $entries = [];
        foreach ($this->chosen($numbers) as $number => $client) {
            $wire = null;
            if ($client !== null) {
                $wire = $client->toWire(!$this->users->isGroup($client->ownerId));
            }
            $entries[] = ['number' => (string) $number, 'client' => $wire];
        }
        return $entries;
    }

    /**
     * The same choice as lookup's, for many numbers with two questions to the database.
     *
     * @param list<string> $numbers
     * @return array<string, \PinCalls\Identity\Client|null>
     */
    private function chosen(array $numbers): array
    {
        $chosen = array_fill_keys($numbers, null);
        foreach (array_chunk($numbers, 500) as $some) {
            $marks = implode(', ', array_fill(0, count($some), '?'));
            $sql = "SELECT number, crmid FROM vtiger_calls_phone WHERE number IN ($marks)";
            $holders = [];
            foreach ($this->db->rows($sql, $some) as $row) {
                $holders[(string) $row['number']][] = (int) $row['crmid'];
            }
            $ids = $holders === [] ? [] : array_values(array_unique(array_merge(...array_values($holders))));
            $clients = $this->clients->inOrderById($ids);
            foreach ($holders as $number => $crmIds) {
                foreach ($clients as $client) {
                    if (in_array($client->crmId, $crmIds, true)) {
                        $chosen[(string) $number] = $client;
                        break;
                    }
                }
            }
        }
        return $chosen;
    }

    private function head(): int
    {
        $rows = $this->db->rows('SELECT MAX(seq) AS head FROM vtiger_calls_phone_change');
        return (int) ($rows[0]['head'] ?? 0);
    }

    /** Forgets what of the journal nobody may still want; called by the module's cron. */
    public function trimJournal(): void
    {
        $oldest = $this->head() - self::JOURNAL_KEPT;
        if ($oldest > 0) {
            $this->db->execute('DELETE FROM vtiger_calls_phone_change WHERE seq <= ? LIMIT 50000', [$oldest]);
        }
    }

    private function journalReachesBackTo(int $seq): bool
    {
        $rows = $this->db->rows('SELECT MIN(seq) AS tail, MAX(seq) AS head FROM vtiger_calls_phone_change');
        $tail = (int) ($rows[0]['tail'] ?? 0);
        return $seq <= (int) ($rows[0]['head'] ?? 0) && $seq >= $tail - 1;
    }
}
