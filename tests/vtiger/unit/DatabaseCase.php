<?php

/** Tests of the module's SQL: a real MariaDB, whose socket is in CALLS_TEST_SOCKET, with host-tables.sql and the module's own tables. */

declare(strict_types=1);

use PHPUnit\Framework\TestCase;
use PinCalls\Clock;
use PinCalls\Click\Clicks;
use PinCalls\Click\Commands;
use PinCalls\Identity\ClientFinder;
use PinCalls\Identity\ClientMaker;
use PinCalls\Identity\Newcomers;
use PinCalls\Identity\OwnerRule;
use PinCalls\Identity\PhoneIndex;
use PinCalls\Identity\Rights;
use PinCalls\Identity\Seats;
use PinCalls\Identity\UserFinder;
use PinCalls\Install\Schema;
use PinCalls\Operation\Records;
use PinCalls\Record\Atomic;
use PinCalls\Record\CallStore;
use PinCalls\Record\Claims;
use PinCalls\Record\Companions;
use PinCalls\Settings\Connector;
use PinCalls\Settings\Connectors;
use PinCalls\Settings\Settings;
use PinCalls\Status\MysqliDb;

final class SetClock extends Clock
{
    public float $at = 1795341600.25; // 2026-11-22T10:00:00.250Z

    public function now(): float
    {
        return $this->at;
    }
}

/** Calls in the module's table without vTiger's entity machinery. */
final class TableStore implements CallStore, Atomic
{
    public int $nextId = 5101;
    /** @var callable(array): void|null called before a save: a place to fail */
    public $before = null;
    /** @var list<array{0: string, 1: int, 2: array}> */
    public array $saves = [];
    private MysqliDb $db;

    public function __construct(MysqliDb $db)
    {
        $this->db = $db;
    }

    public function create(array $fields): int
    {
        $id = $this->nextId++;
        $this->saves[] = ['create', $id, $fields];
        if ($this->before) {
            ($this->before)($fields);
        }
        $this->db->execute(
            'INSERT INTO vtiger_crmentity (crmid, smownerid, setype) VALUES (?, ?, ?)',
            [$id, $fields['assigned_user_id'], 'Calls']
        );
        $this->db->execute('INSERT INTO vtiger_calls (callsid) VALUES (?)', [$id]);
        $this->write($id, $fields);
        return $id;
    }

    public function update(int $crmId, array $fields): bool
    {
        $this->saves[] = ['update', $crmId, $fields];
        if ($this->before) {
            ($this->before)($fields);
        }
        $this->db->execute('UPDATE vtiger_crmentity SET smownerid = ? WHERE crmid = ?', [$fields['assigned_user_id'], $crmId]);
        $this->write($crmId, $fields);
        return true;
    }

    public function remove(int $crmId): void
    {
        $this->saves[] = ['remove', $crmId, []];
        $this->db->execute('UPDATE vtiger_crmentity SET deleted = 1 WHERE crmid = ?', [$crmId]);
    }

    public function stored(int $crmId): ?array
    {
        $rows = $this->db->rows(
            'SELECT c.*, e.smownerid AS assigned_user_id FROM vtiger_calls c JOIN vtiger_crmentity e ON e.crmid = c.callsid'
            . ' WHERE c.callsid = ? AND e.deleted = 0',
            [$crmId]
        );
        return isset($rows[0]) ? array_map('strval', $rows[0]) : null;
    }

    public function run(callable $work)
    {
        $this->db->execute('START TRANSACTION');
        try {
            $result = $work();
            $this->db->execute('COMMIT');
            return $result;
        } catch (\Throwable $fault) {
            $this->db->execute('ROLLBACK');
            throw $fault;
        }
    }

    private function write(int $id, array $fields): void
    {
        unset($fields['assigned_user_id']);
        foreach ($fields as $name => $value) {
            $this->db->execute("UPDATE vtiger_calls SET $name = ? WHERE callsid = ?", [$value === '' ? null : $value, $id]);
        }
    }
}

final class SetRights implements Rights
{
    /** @var array<int, list<int>> */
    public array $groups = [];
    /** @var array<int, bool> */
    public array $blind = [];
    /** @var array<string, bool> `user:tool` */
    public array $denied = [];

    public function maySeeCalls(int $userId): bool
    {
        return !isset($this->blind[$userId]);
    }

    public function mayUse(int $userId, string $tool): bool
    {
        return $this->maySeeCalls($userId) && !isset($this->denied["$userId:$tool"]);
    }

    public function groupsOf(int $userId): array
    {
        return $this->groups[$userId] ?? [];
    }
}

final class SetMaker implements ClientMaker
{
    /** @var list<array{0: string, 1: string, 2: string, 3: string, 4: int}> */
    public array $made = [];
    public ?Throwable $fault = null;
    /** @var callable(string, int, string): int */
    private $make;

    public function __construct(callable $make)
    {
        $this->make = $make;
    }

    public function make(string $module, string $name, string $number, string $did, int $owner): int
    {
        if ($this->fault !== null) {
            throw $this->fault;
        }
        $this->made[] = [$module, $name, $number, $did, $owner];
        return ($this->make)($module, $owner, $number);
    }
}

abstract class DatabaseCase extends TestCase
{
    protected const DEFAULT_GROUP = 90;

    protected static ?MysqliDb $db = null;
    /** @var list<string> */
    private static array $tables = [];
    protected SetClock $clock;
    protected TableStore $store;
    protected SetRights $rights;
    protected SetMaker $maker;
    protected Connector $connector;

    protected function setUp(): void
    {
        if (self::$db === null) {
            self::open();
        }
        foreach (self::$tables as $table) {
            self::$db->execute("DELETE FROM $table");
        }
        $this->clock = new SetClock();
        $this->store = new TableStore(self::$db);
        $this->rights = new SetRights();
        $this->maker = new SetMaker(function (string $module, int $owner, string $number): int {
            $id = 900 + count($this->maker->made);
            [$this, ['Leads' => 'lead', 'Contacts' => 'contact', 'Accounts' => 'account'][$module]]($id, $owner, $number);
            return $id;
        });
        $this->settings()->set('region', 'RU');
        $this->settings()->set('phones_filled_to', -1);
        self::$db->execute("INSERT INTO vtiger_groups (groupid, groupname) VALUES (?, 'Звонки без ответственного')", [self::DEFAULT_GROUP]);
        $this->connector = $this->connectors()->add('Office', 'vtiger', '');
    }

    private static function open(): void
    {
        $socket = getenv('CALLS_TEST_SOCKET');
        if (!$socket) {
            throw new RuntimeException('CALLS_TEST_SOCKET is not set: run tests/vtiger/run');
        }
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $connection = new mysqli(null, 'root', '', '', 0, $socket);
        $connection->set_charset('utf8');
        $connection->query('DROP DATABASE IF EXISTS calls_test');
        $connection->query('CREATE DATABASE calls_test CHARACTER SET utf8');
        $connection->select_db('calls_test');
        self::$db = new MysqliDb($connection);
        $host = (string) file_get_contents(__DIR__ . '/host-tables.sql');
        foreach (array_filter(array_map('trim', explode(";\n", $host))) as $statement) {
            self::$db->execute($statement);
        }
        (new PinCalls\Install\Installer(self::$db))->tables();
        foreach (Schema::fields() as $name => $field) {
            if (($field['table'] ?? 'vtiger_calls') === 'vtiger_calls') {
                self::$db->execute("ALTER TABLE vtiger_calls ADD COLUMN $name " . ($field['columntype'] ?? 'VARCHAR(100)'));
            }
        }
        foreach (Schema::INDEXES as $name => [$table, $columns]) {
            self::$db->execute("ALTER TABLE $table ADD INDEX $name ($columns)");
        }
        self::$tables = array_map(static function (array $row): string {
            return (string) reset($row);
        }, self::$db->rows('SHOW TABLES'));
    }

    protected function settings(): Settings
    {
        return new Settings(self::$db);
    }

    protected function connectors(): Connectors
    {
        return new Connectors(self::$db);
    }

    protected function phones(): PhoneIndex
    {
        $settings = $this->settings();
        return new PhoneIndex(self::$db, $settings->get('region'), $settings->get('area_code'), $settings->get('last_digits'));
    }

    protected function clients(): ClientFinder
    {
        return new ClientFinder(self::$db, $this->phones(), $this->settings());
    }

    protected function seats(): Seats
    {
        return new Seats(self::$db, $this->clock);
    }

    protected function users(): UserFinder
    {
        return new UserFinder(self::$db, $this->seats(), $this->phones());
    }

    protected function commands(): Commands
    {
        return new Commands(self::$db, $this->clock);
    }

    protected function clicks(): Clicks
    {
        return new Clicks(self::$db, $this->clock);
    }

    protected function companions(): Companions
    {
        return new Companions(self::$db, $this->clients(), $this->clock);
    }

    protected function records(): Records
    {
        $owners = new OwnerRule(self::$db, $this->users(), static function (): int {
            return self::DEFAULT_GROUP;
        });
        $clients = $this->clients();
        return new Records(
            new Claims(self::$db),
            $this->store,
            $clients,
            $this->users(),
            $owners,
            $this->companions(),
            new Newcomers($this->settings(), $clients, $this->users(), $this->maker),
            $this->store
        );
    }

    /** @return array<string, array> results by id */
    protected function send(array ...$records): array
    {
        $answer = ($this->records())(['op' => 'records', 'records' => $records], $this->connector);
        return array_column($answer['results'], null, 'id');
    }

    protected function user(int $id, string $extension = '', string $mobile = '', bool $active = true): void
    {
        self::$db->execute(
            'INSERT INTO vtiger_users (id, user_name, first_name, last_name, phone_crm_extension, phone_mobile, is_admin, status)'
            . ' VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
            [$id, "u$id", "First$id", "Last$id", $extension, $mobile, 'off', $active ? 'Active' : 'Inactive']
        );
    }

    protected function contact(int $id, int $owner, string ...$numbers): void
    {
        $this->entity($id, $owner, 'Contacts');
        self::$db->execute('INSERT INTO vtiger_contactdetails (contactid, firstname, lastname) VALUES (?, ?, ?)', [$id, 'Иван', "Петров$id"]);
        $this->phones()->put($id, 'Contacts', $numbers);
    }

    protected function lead(int $id, int $owner, string ...$numbers): void
    {
        $this->entity($id, $owner, 'Leads');
        self::$db->execute('INSERT INTO vtiger_leaddetails (leadid, firstname, lastname) VALUES (?, ?, ?)', [$id, 'Мария', "Лидова$id"]);
        $this->phones()->put($id, 'Leads', $numbers);
    }

    protected function account(int $id, int $owner, string ...$numbers): void
    {
        $this->entity($id, $owner, 'Accounts');
        self::$db->execute('INSERT INTO vtiger_account (accountid, accountname) VALUES (?, ?)', [$id, "ООО Ромашка &amp; $id"]);
        $this->phones()->put($id, 'Accounts', $numbers);
    }

    protected function entity(int $id, int $owner, string $module): void
    {
        self::$db->execute(
            'INSERT INTO vtiger_crmentity (crmid, smownerid, setype, modifiedtime, createdtime) VALUES (?, ?, ?, ?, ?)',
            [$id, $owner, $module, '2026-01-01 00:00:00', '2026-01-01 00:00:00']
        );
    }

    /** A record with what every record has. */
    protected static function call(string $conversation = 'msk-1.1', int $n = 1, array $more = []): array
    {
        return $more + [
            'id' => "$conversation-$n", 'conversation' => $conversation, 'pbx' => 'msk', 'revision' => 1000, 'source' => 'ami',
            'direction' => 'incoming', 'status' => 'completed', 'lead' => true, 'started_at' => '2026-11-22T10:00:00.000Z',
        ];
    }

    protected static function wire(string $file): array
    {
        return json_decode((string) file_get_contents(WIRE . '/' . $file), true, 64, JSON_THROW_ON_ERROR);
    }
}
