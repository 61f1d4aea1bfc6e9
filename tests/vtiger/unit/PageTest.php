<?php

/** What an open page is given to hear of calls: links to the connectors, and the word that says it sits elsewhere now. */

declare(strict_types=1);

use PinCalls\Identity\Whereabouts;
use PinCalls\Status\EventLinks;
use PinCalls\Status\LinkState;
use PinCalls\Wire\Link;

final class PageTest extends DatabaseCase
{
    private const ORIGINS = ['http://crm.example.ru', 'https://crm.example.ru'];

    protected function setUp(): void
    {
        parent::setUp();
        $this->beat(['public_url' => 'https://pbx.example.ru:8384/']);
        $this->user(6, '102');
    }

    /** @param array<string, mixed> $more */
    private function beat(array $more = [], string $key = 'vtiger'): void
    {
        $facts = $more + ['pbxs' => [['pbx' => 'msk', 'up' => true], ['pbx' => 'spb', 'up' => true]], 'event_origins' => self::ORIGINS];
        $connector = $this->connectors()->byKey($key) ?? $this->connectors()->add($key, $key, 'http://10.0.0.5:8383');
        $this->connectors()->heard($connector, $facts, (int) $this->clock->now());
    }

    /** @return list<array<string, mixed>> */
    private function links(int $userId): array
    {
        $state = new LinkState($this->connectors(), $this->clock);
        return (new EventLinks($this->connectors(), $this->users(), $state, $this->clock))->of($userId);
    }

    private function mobile(int $userId, string $number): void
    {
        self::$db->execute('UPDATE vtiger_users SET phone_mobile = ? WHERE id = ?', [$number, $userId]);
    }

    public function testLinksAreThoseOfTheContract(): void
    {
        $cases = json_decode((string) file_get_contents(WIRE . '/links.json'), true);
        self::assertGreaterThanOrEqual(2, count($cases));
        foreach ($cases as $case) {
            self::assertSame($case['link'], Link::signed($case['secret'], $case['target']), $case['why']);
        }
    }

    public function testAPageHearsItsUsersPhonesForAWhile(): void
    {
        $this->mobile(6, '8 903 111-01-02');
        [$link] = $this->links(6);
        $expires = (int) $this->clock->now() + EventLinks::GOOD_SECONDS;
        $target = "/api/v1/events?key=vtiger&expires=$expires&extension=msk%2F102%2Cspb%2F102&phone=%2B79031110102";
        self::assertSame('https://pbx.example.ru:8384' . Link::signed($this->connector->secret, $target), $link['url']);
        self::assertSame([self::ORIGINS, ['msk/102', 'spb/102']], [$link['origins'], $link['extensions']]);
    }

    public function testWhatIsAnotherUsersIsNotHeard(): void
    {
        $this->user(7, 'spb/102');
        self::assertSame(['msk/102'], $this->links(6)[0]['extensions'], 'his card has no exchange, another one has this');
        $this->seats()->take(7, 'msk', '102', (int) $this->clock->now() + 3600);
        self::assertSame([], $this->links(6), 'taken for the day');
        self::assertSame(['msk/102', 'spb/102'], $this->links(7)[0]['extensions']);
    }

    public function testWhoHasNoPhoneHearsNothing(): void
    {
        $this->user(8, '');
        self::assertSame([], $this->links(8));
        $this->mobile(8, '+79031110108');
        self::assertStringContainsString('extension=&phone=%2B79031110108', $this->links(8)[0]['url']);
        self::$db->execute("UPDATE vtiger_users SET status = 'Inactive' WHERE id = 8");
        self::assertSame([], $this->links(8));
    }

    public function testAllConnectorsCanBeHeardOrNone(): void
    {
        $this->beat(['event_origins' => self::ORIGINS], 'second');
        $links = $this->links(6);
        self::assertCount(2, $links);
        self::assertStringStartsWith('http://10.0.0.5:8383/api', $links[1]['url'], 'without an address of its own the one we reach it at');
        $this->beat(['event_origins' => []], 'second');
        self::assertSame([], $this->links(6), 'half of it would be no reason to ask less often');
        $this->beat(['event_origins' => ['x']], 'second');
        $this->clock->at += 130;
        self::assertSame([], $this->links(6), 'nothing is heard of them');
        self::$db->execute('UPDATE vtiger_calls_connector SET heard_at = 0');
        self::assertSame([], $this->links(6));
    }

    public function testWhereaboutsChangeWithThePhoneOnly(): void
    {
        $this->user(7, '105');
        $where = new Whereabouts(self::$db, $this->seats());
        $before = $where->of(6);
        self::assertSame($before, $where->of(6));
        $this->seats()->take(7, 'msk', '110', (int) $this->clock->now() + 3600);
        self::assertSame($before, $where->of(6), 'no phone of his');
        $this->seats()->take(7, 'msk', '102', (int) $this->clock->now() + 3600);
        $taken = $where->of(6);
        self::assertNotSame($before, $taken);
        $this->seats()->leave(7);
        self::assertSame($before, $where->of(6));
        $this->seats()->take(6, '', '120', (int) $this->clock->now() + 3600);
        self::assertNotSame($before, $where->of(6));
    }
}
