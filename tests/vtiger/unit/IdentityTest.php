<?php

/** Numbers, clients, users, seats: who is it. */

declare(strict_types=1);

use PinCalls\Identity\UserFinder;
use PinCalls\Number\PhoneNumber;
use PinCalls\Operation\Directory;
use PinCalls\Operation\Lookup;
use PinCalls\Operation\Users;
use PinCalls\Settings\Deputies;
use PinCalls\Settings\Groups;

final class IdentityTest extends DatabaseCase
{
    /** The table of examples that holds the connector and this module to the same answers. */
    public function testNumbersAreReadAsTheConnectorReadsThem(): void
    {
        $rows = 0;
        foreach (file(PROJECT . '/tests/numbers/examples.tsv', FILE_IGNORE_NEW_LINES) as $at => $line) {
            if ($line === '' || $line[0] === '#') {
                continue;
            }
            [$region, $raw, $e164, , , $extension, $byLastDigits] = explode("\t", $line);
            [$iso, $area] = explode(':', "$region:");
            $number = PhoneNumber::parse((string) json_decode("\"$raw\""), $iso === '-' ? '' : $iso, $area);
            $where = 'line ' . ($at + 1) . ": $region $raw";
            self::assertSame($e164 === '-' ? '' : $e164, $number->e164, $where);
            self::assertSame($extension === '-' ? '' : $extension, $number->extension, $where);
            // A number that became E.164 has a tail to compare with rows that did not.
            self::assertSame($byLastDigits === 'yes', $number->tail(7) !== '', $where);
            $rows++;
        }
        self::assertGreaterThanOrEqual(80, $rows);
    }

    private function found(string $number): array
    {
        return array_map(static function ($client): int {
            return $client->crmId;
        }, $this->clients()->allByNumber($number));
    }

    public function testManyWritingsOneClient(): void
    {
        $this->contact(10, 5, '+7 (916) 123-45-67', '', '8 495 765-43-21 доб. 12');
        foreach (['89161234567', '+79161234567', '9161234567', '8 916 123 45 67', '84957654321', '+74957654321'] as $written) {
            self::assertSame([10], $this->found($written), $written);
        }
        self::assertSame([], $this->found('89161234568'));
        self::assertSame([], $this->found(''));
    }

    public function testLastDigitsOnlyWhereNoE164CanBeMade(): void
    {
        $this->contact(10, 5, '765-43-21');
        $this->contact(11, 5, '+7 812 765-43-21');
        self::assertSame([10], $this->found('7654321'), 'written alike');
        self::assertSame([10], $this->found('+74957654321'), 'an E.164 number meets what has none by the last digits');
        self::assertSame([11], $this->found('+78127654321'), 'the same number beats the same ending');
        self::assertSame([11], $this->found('88127654321'));
    }

    public function testAShortCallerMeetsE164ByItsDigits(): void
    {
        $this->contact(11, 5, '+7 812 765-43-21');
        self::assertSame([11], $this->found('7654321'));
    }

    public function testShortAndFreeNumbersNeverByLastDigits(): void
    {
        $this->contact(10, 5, '8-800-555-35-35');
        $this->contact(11, 5, '112');
        self::assertSame([10], $this->found('88005553535'));
        self::assertSame([], $this->found('5553535'));
        self::assertSame([], $this->found('+74955553535'));
        self::assertSame([], $this->found('112'));
        self::assertSame([], $this->found('67'));
    }

    public function testAnAreaCodeMakesCityNumbersWhole(): void
    {
        $this->settings()->set('area_code', '495');
        $this->contact(10, 5, '765-43-21');
        self::assertSame([10], $this->found('+74957654321'));
        self::assertSame([], $this->found('+78127654321'));
    }

    public function testSeveralClientsWithOneNumber(): void
    {
        $this->lead(10, 5, '89161234567');
        $this->contact(11, 5, '89161234567');
        $this->contact(12, 5, '89161234567');
        $this->account(13, 5, '89161234567');
        self::$db->execute("UPDATE vtiger_crmentity SET modifiedtime = '2026-05-05' WHERE crmid = 11");
        self::assertSame([11, 12, 13, 10], $this->found('89161234567'));
        $this->settings()->set('client_among_equals', 'oldest');
        self::$db->execute("UPDATE vtiger_crmentity SET modifiedtime = '2026-06-06' WHERE crmid = 12");
        self::assertSame([11, 12, 13, 10], $this->found('89161234567'));
        $this->settings()->set('client_modules', ['Leads', 'Accounts', 'Contacts']);
        self::assertSame([10, 13, 11, 12], $this->found('89161234567'));
    }

    public function testConvertedAndDeletedAreNobody(): void
    {
        $this->lead(10, 5, '89161234567');
        self::$db->execute('UPDATE vtiger_leaddetails SET converted = 1');
        $this->contact(11, 5, '89161234567');
        self::$db->execute('UPDATE vtiger_crmentity SET deleted = 1 WHERE crmid = 11');
        self::assertSame([], $this->found('89161234567'));
    }

    public function testTheIndexFollowsTheCard(): void
    {
        $this->contact(10, 5, '89161234567', '89161234568');
        $this->phones()->put(10, 'Contacts', ['89161234568', '89161234569']);
        self::assertSame([], $this->found('89161234567'), 'a number taken from the card');
        self::assertSame([10], $this->found('89161234568'));
        self::assertSame([10], $this->found('89161234569'));
        $this->phones()->remove(10);
        self::assertSame([], $this->found('89161234569'));
    }

    public function testLookupAnswersAsTheContractSays(): void
    {
        $this->user(5, '101');
        $this->user(6, '102');
        $this->contact(4012, 5, '89161234567');
        $this->contact(4013, 5, '89161234567');
        self::$db->execute("INSERT INTO vtiger_contactscf (contactid, calls_caller_id) VALUES (4012, '+74951234500')");
        self::$db->execute("UPDATE vtiger_crmentity SET modifiedtime = '2026-05-05' WHERE crmid = 4012");
        $deputies = new Deputies(self::$db);
        $deputies->set(5, 6);
        $answer = (new Lookup($this->clients(), $this->users(), $this->phones(), $deputies))(self::wire('lookup.request.json'), $this->connector);
        $wanted = self::wire('lookup.answer.json');
        self::assertSame(array_keys(array_diff_key($wanted, ['ok' => 1, 'module' => 1, 'version' => 1, 'time' => 1])), array_keys($answer));
        self::assertSame($wanted['number'], $answer['number']);
        self::assertSame('4012', $answer['client']['id']);
        self::assertSame('+74951234500', $answer['client']['caller_id']);
        $this->settings()->set('caller_ids', ['+74950000000']);
        self::assertSame('', $this->clients()->byNumber('+79161234567')->callerId, 'only numbers of the list are shown');
        $this->settings()->set('caller_ids', ['+74950000000', '+74951234500']);
        self::assertSame('+74951234500', $this->clients()->byNumber('+79161234567')->callerId);
        self::assertSame($wanted['client']['url'], $answer['client']['url']);
        self::assertSame(1, $answer['others']);
        self::assertSame(['user' => '5', 'name' => 'First5 Last5', 'active' => true, 'extension' => '101', 'deputy' => '6'], $answer['responsible']);
    }

    public function testLookupOfNobodyAndOfAGroupsClient(): void
    {
        $lookup = new Lookup($this->clients(), $this->users(), $this->phones(), new Deputies(self::$db));
        $missing = $lookup(['number' => '89160000000'], $this->connector);
        self::assertSame(['found' => false, 'number' => self::wire('lookup-notfound.answer.json')['number']], $missing);
        $this->contact(10, 90, '89161234567');
        $answer = $lookup(['number' => '89161234567'], $this->connector);
        self::assertArrayNotHasKey('responsible', $answer);
        self::assertArrayNotHasKey('user', $answer['client']);
    }

    private function directory(array $request): array
    {
        return (new Directory(self::$db, $this->clients(), $this->users()))($request, $this->connector);
    }

    public function testTheDirectoryIsWalkedAndThenFollowed(): void
    {
        for ($i = 0; $i < 25; $i++) {
            $this->contact(100 + $i, 5, sprintf('+7916000%04d', $i));
        }
        $cursor = '';
        $numbers = [];
        $pages = 0;
        do {
            $page = $this->directory(['cursor' => $cursor, 'limit' => 10]);
            self::assertSame($cursor === '', $page['reset']);
            $numbers = array_merge($numbers, array_column($page['entries'], 'number'));
            $cursor = $page['cursor'];
            $pages++;
        } while ($page['more']);
        self::assertSame([25, 3], [count(array_unique($numbers)), $pages]);
        self::assertSame([], $this->directory(['cursor' => $cursor])['entries']);
        $this->phones()->remove(100);
        $this->contact(200, 5, '7654321');
        $page = $this->directory(['cursor' => $cursor]);
        self::assertFalse($page['reset']);
        self::assertSame(['+79160000000' => null, '7654321' => '200'], array_combine(
            array_column($page['entries'], 'number'),
            array_map(static function (array $entry) {
                return $entry['client'] === null ? null : $entry['client']['id'];
            }, $page['entries'])
        ));
        self::assertSame(array_keys(self::wire('directory-increment.answer.json')['entries'][1]['client']), array_keys($page['entries'][1]['client']));
    }

    public function testWhatHappensDuringTheWalkIsNotLost(): void
    {
        for ($i = 0; $i < 4; $i++) {
            $this->contact(100 + $i, 5, sprintf('+7916000%04d', $i));
        }
        $first = $this->directory(['cursor' => '', 'limit' => 2]);
        $this->phones()->remove(100);
        $page = $this->directory(['cursor' => $first['cursor'], 'limit' => 100]);
        self::assertFalse($page['more']);
        $after = $this->directory(['cursor' => $page['cursor']]);
        self::assertSame([['number' => '+79160000000', 'client' => null]], $after['entries']);
    }

    public function testACursorOfAnotherTimeStartsAgain(): void
    {
        $this->contact(100, 5, '+79160000000');
        $cursor = $this->directory(['cursor' => ''])['cursor'];
        $this->phones()->clear();
        self::assertTrue($this->directory(['cursor' => $cursor])['reset']);
        self::assertTrue($this->directory(['cursor' => 'since:999999'])['reset']);
        self::assertTrue($this->directory(['cursor' => "'; DROP TABLE x"])['reset']);
    }

    private function usersAnswer(): array
    {
        return (new Users($this->users(), $this->rights, new Groups(self::$db), new Deputies(self::$db)))([], $this->connector);
    }

    public function testUsersAsTheContractSays(): void
    {
        $this->user(5, '101', '8 903 111-22-33');
        $this->user(6, 'msk/102');
        $this->user(7, '103', '', false);
        $this->rights->groups = [5 => [3, 4]];
        $this->rights->blind = [6 => true];
        self::$db->execute("INSERT INTO vtiger_groups (groupid, groupname) VALUES (3, 'Отдел продаж'), (4, 'Поддержка')");
        (new Groups(self::$db))->set(3, 1, 0, 'msk', 'from-internal', '+74951234500');
        (new Groups(self::$db))->set(4, 2, 0, '', '', '');
        (new Deputies(self::$db))->set(5, 6);
        $this->seats()->take(5, 'msk', '107', 1795377600);
        $answer = $this->usersAnswer();
        $wanted = self::wire('users.answer.json');
        $first = $answer['users'][0];
        self::assertEquals(array_keys($wanted['users'][0]), array_values(array_intersect(array_keys($wanted['users'][0]), array_keys($first))));
        self::assertSame('107', $first['extensions'][0]['extension']);
        self::assertSame(['msk', 'today', '2026-11-22T20:00:00.000Z'], [$first['extensions'][0]['pbx'], $first['extensions'][0]['source'], $first['extensions'][0]['until']]);
        self::assertSame(['extension' => '101', 'source' => 'card'], $first['extensions'][1]);
        self::assertSame(['+79031112233'], $first['mobiles']);
        self::assertSame('6', $first['deputy']);
        self::assertSame([], $answer['users'][1]['extensions'], 'without right to calls, no extension');
        self::assertSame(['7', false, []], [$answer['users'][2]['user'], $answer['users'][2]['active'], $answer['users'][2]['extensions']]);
        self::assertSame(array_keys($wanted['users'][2]), array_keys($answer['users'][2]));
        self::assertEquals($wanted['groups'][0], $answer['groups'][0]);
        self::assertEquals($wanted['groups'][1], $answer['groups'][1]);
        self::assertSame($answer['revision'], $this->usersAnswer()['revision']);
        $this->seats()->leave(5);
        self::assertNotSame($answer['revision'], $this->usersAnswer()['revision']);
    }

    public function testAUserOfAnotherConnectorIsNotToldOf(): void
    {
        $this->user(5, '101');
        $this->rights->groups = [5 => [3]];
        self::$db->execute("INSERT INTO vtiger_groups (groupid, groupname) VALUES (3, 'Spb')");
        $other = $this->connectors()->add('Spb', 'spb', '');
        (new Groups(self::$db))->set(3, 1, $other->id, 'spb', '', '');
        self::assertSame([], $this->usersAnswer()['users'][0]['extensions']);
        self::assertSame([], $this->usersAnswer()['groups']);
        $this->connector = $other;
        self::assertCount(1, $this->usersAnswer()['users'][0]['extensions']);
    }

    public function testSeatsAreOneUsersAtATime(): void
    {
        $seats = $this->seats();
        self::assertSame(0, $seats->take(5, 'msk', '101', 1795400000));
        self::assertSame(5, $seats->take(6, 'msk', '101', 1795400000), 'told whose it was');
        self::assertNull($seats->of(5));
        self::assertSame('101', $seats->of(6)['extension']);
        self::assertSame(0, $seats->take(7, 'spb', '101', 1795400000), 'the same extension of another PBX');
        self::assertSame(6, $seats->userAt('msk', '101', $this->clock->at));
        self::assertSame(7, $seats->userAt('spb', '101', $this->clock->at));
        $this->clock->at += 100;
        $seats->take(6, 'msk', '102', 1795400000);
        self::assertSame(0, $seats->userAt('msk', '101', $this->clock->at), 'who moves leaves');
        self::assertSame(6, $seats->userAt('msk', '101', $this->clock->at - 50));
        self::assertSame(0, $seats->take(6, 'msk', '102', 1795400000), 'taking one\'s own');
        $this->clock->at = 1795400001;
        self::assertNull($seats->of(6), 'the set hour');
    }

    public function testAnIdleSeatEnds(): void
    {
        $seats = $this->seats();
        $seats->take(5, 'msk', '101', 1795500000);
        $this->clock->at += 7000;
        $seats->seen(5);
        $this->clock->at += 7000;
        self::assertSame(0, $seats->endIdle(7200));
        $this->clock->at += 300;
        self::assertSame(1, $seats->endIdle(7200));
        self::assertNull($seats->of(5));
    }

    public function testASeatEndsAtLogout(): void
    {
        $this->user(5);
        $this->user(6);
        $this->seats()->take(5, 'msk', '101', 1795500000);
        $this->seats()->take(6, 'msk', '102', 1795500000);
        self::$db->execute("INSERT INTO vtiger_loginhistory (user_name, status) VALUES ('u5', 'Signed in'), ('u6', 'Signed off'), ('u6', 'Signed in')");
        self::assertSame(0, $this->seats()->endLoggedOut());
        self::$db->execute("UPDATE vtiger_loginhistory SET status = 'Signed off'");
        self::$db->execute("INSERT INTO vtiger_loginhistory (user_name, status) VALUES ('u6', 'Signed in')");
        self::assertSame(1, $this->seats()->endLoggedOut());
        self::assertNull($this->seats()->of(5));
        self::assertNotNull($this->seats()->of(6));
    }

    public function testASeatTakesTheExtensionFromACard(): void
    {
        $this->user(5, '101');
        $this->user(6, '102');
        $this->seats()->take(6, '', '101', 1795400000);
        self::assertSame([], $this->users()->extensionsNow(5));
        self::assertSame(['101', '102'], array_column($this->users()->extensionsNow(6), 'extension'));
    }

    public function testExtensionsInACard(): void
    {
        self::assertSame([], UserFinder::extensions(' '));
        self::assertSame([
            ['pbx' => 'msk', 'extension' => '101'], ['pbx' => '', 'extension' => '102'],
        ], UserFinder::extensions('msk/101, 102'));
    }
}
