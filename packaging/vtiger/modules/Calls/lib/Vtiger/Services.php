<?php

/** Puts the parts together for a request inside vTiger. The only place that knows how they are wired. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Click\Clicks;
use PinCalls\Click\ClickToCall;
use PinCalls\Click\Commands;
use PinCalls\Click\ConnectorClient;
use PinCalls\Clock;
use PinCalls\Db;
use PinCalls\Identity\ClientFinder;
use PinCalls\Identity\Newcomers;
use PinCalls\Identity\OwnerRule;
use PinCalls\Identity\PhoneIndex;
use PinCalls\Identity\Rights;
use PinCalls\Identity\Seats;
use PinCalls\Identity\UserFinder;
use PinCalls\Operation\Directory;
use PinCalls\Operation\FetchCommands;
use PinCalls\Operation\Forget;
use PinCalls\Operation\Heartbeat;
use PinCalls\Operation\Lookup;
use PinCalls\Operation\Recording;
use PinCalls\Operation\Records;
use PinCalls\Operation\Users;
use PinCalls\Record\Atomic;
use PinCalls\Record\Claims;
use PinCalls\Record\Companions;
use PinCalls\Record\Sounds;
use PinCalls\Settings\Connectors;
use PinCalls\Settings\Deputies;
use PinCalls\Settings\Groups;
use PinCalls\Settings\RequestLog;
use PinCalls\Settings\Settings;
use PinCalls\Status\LinkState;

final class Services
{
    public Db $db;
    public Clock $clock;
    public Settings $settings;
    public Connectors $connectors;
    public Groups $groups;
    public Deputies $deputies;
    public PhoneIndex $phones;
    public ClientPhones $clientPhones;
    public ClientFinder $clients;
    public Seats $seats;
    public UserFinder $users;
    public Rights $rights;
    public Companions $companions;
    public Sounds $sounds;
    public Commands $commands;
    public Clicks $clicks;
    public ClickToCall $clickToCall;
    public RequestLog $log;
    public LinkState $links;

    private static ?Services $instance = null;

    public static function get(): self
    {
        return self::$instance ?? (self::$instance = new self(new VtigerDb(), new Clock()));
    }

    private function __construct(Db $db, Clock $clock)
    {
        $this->db = $db;
        $this->clock = $clock;
        $this->settings = new Settings($db);
        $this->connectors = new Connectors($db);
        $this->groups = new Groups($db);
        $this->deputies = new Deputies($db);
        $this->phones = new PhoneIndex(
            $db,
            (string) $this->settings->get('region'),
            (string) $this->settings->get('area_code'),
            (int) $this->settings->get('last_digits')
        );
        $this->clientPhones = new ClientPhones($db, $this->phones);
        $this->clients = new ClientFinder($db, $this->phones, $this->settings);
        $this->seats = new Seats($db, $clock);
        $this->users = new UserFinder($db, $this->seats, $this->phones);
        $this->rights = new ProfileRights($db);
        $this->companions = new Companions($db, $this->clients, $clock);
        $this->sounds = self::sounds($db, $clock);
        $this->commands = new Commands($db, $clock);
        $this->clicks = new Clicks($db, $clock);
        $this->log = new RequestLog($db, $clock);
        $this->links = new LinkState($this->connectors, $clock);
        $this->clickToCall = new ClickToCall(
            $this->connectors,
            $this->groups,
            $this->users,
            $this->rights,
            $this->companions,
            $this->commands,
            $this->clicks,
            new ConnectorClient($this->log, $clock),
            $this->links,
            $clock
        );
    }

    /** The pushed sounds, in vTiger's own folder for files. */
    public static function sounds(Db $db, Clock $clock): Sounds
    {
        return new Sounds($db, $clock, rtrim((string) vglobal('root_directory'), '/') . '/storage/calls');
    }

    public function records(Atomic $atomic): Records
    {
        $owners = new OwnerRule($this->db, $this->users, function (): int {
            return (new DefaultGroup($this->db, $this->settings))->id();
        });
        return new Records(
            new Claims($this->db),
            new EntityStore(),
            $this->clients,
            $this->users,
            $owners,
            $this->companions,
            new Newcomers($this->settings, $this->clients, $this->users, new ClientEntities()),
            $atomic
        );
    }

    /** @return array<string, callable> the operations of the endpoint by name */
    public function operations(Records $records): array
    {
        $users = new Users($this->users, $this->rights, $this->groups, $this->deputies);
        $directory = new Directory($this->db, $this->clients, $this->users);
        $sleepMs = static function (int $ms): void {
            usleep($ms * 1000);
        };
        return [
            'records' => $records,
            'lookup' => new Lookup($this->clients, $this->users, $this->phones, $this->deputies),
            'directory' => $directory,
            'users' => $users,
            'commands' => new FetchCommands($this->commands, $this->clicks, $sleepMs),
            'heartbeat' => new Heartbeat(
                $this->connectors,
                $this->settings,
                $this->commands,
                $users,
                $directory,
                $this->clock,
                (string) vglobal('vtiger_current_version')
            ),
            'forget' => new Forget($this->db, $this->phones, $this->sounds),
            'recording' => new Recording(new Claims($this->db), $this->sounds),
        ];
    }

    /** Tells every connector that users, groups or the directory changed. */
    public function tellConnectors(string $what): void
    {
        foreach ($this->connectors->enabled() as $connector) {
            $this->commands->refresh($connector->id, $what);
        }
    }
}
