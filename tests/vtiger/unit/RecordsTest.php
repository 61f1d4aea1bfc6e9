<?php

/** `records`: idempotent, order-proof, one at a time, and whose a call is. */

declare(strict_types=1);

use PinCalls\DbFault;
use PinCalls\Operation\Forget;
use PinCalls\Operation\Recording;
use PinCalls\Record\CallRecord;
use PinCalls\Record\Claims;
use PinCalls\Record\Sounds;
use PinCalls\Wire\Refusal;

final class RecordsTest extends DatabaseCase
{
    private function stored(array $result): array
    {
        return $this->store->stored((int) $result['crm_id']);
    }

    public function testTheExampleOfTheContract(): void
    {
        $request = self::wire('records.request.json');
        [$missed, $answered, $internal, $older] = $request['records'];
        $this->store->nextId = 5090;
        $this->send(['revision' => 1763805599999] + $older);
        $this->store->nextId = 5103;
        $this->send($internal);
        $this->store->nextId = 5101;
        $answer = ($this->records())($request, $this->connector);
        self::assertSame(self::wire('records.answer.json')['results'], $answer['results']);
    }

    public function testWhenPhpDiesTheRestIsToBeSentAgain(): void
    {
        $request = self::wire('records.request.json');
        $records = array_slice($request['records'], 0, 3);
        $death = new class extends Exception {
        };
        $operation = $this->records();
        $this->store->before = static function (array $fields) use ($death): void {
            if ($fields['call_direction'] === 'outgoing') {
                throw new ParseError('die');
            }
        };
        // A die() cannot be caught and so not be tested by throwing: what stays of it is asked for instead, in the middle.
        $words = null;
        $this->store->before = static function (array $fields) use ($operation, &$words): void {
            if ($fields['call_direction'] === 'outgoing') {
                $words = $operation->answerAfterDeath('Allowed memory size of 134217728 bytes exhausted');
            }
        };
        $operation(['records' => $records], $this->connector);
        self::assertSame(self::wire('records-retry.answer.json')['results'], $words['results']);
        self::assertNull($operation->answerAfterDeath('later'), 'the batch is over');
    }

    public function testTheSameRevisionIsStoredOnce(): void
    {
        $first = $this->send(self::call())['msk-1.1-1'];
        $again = $this->send(self::call())['msk-1.1-1'];
        self::assertSame('saved', $first['result']);
        self::assertSame(['unchanged', $first['crm_id'], 1000], [$again['result'], $again['crm_id'], $again['revision']]);
        self::assertCount(1, $this->store->saves);
    }

    public function testRevisionsInAnyOrderEndAtTheNewest(): void
    {
        $this->send(self::call('c', 1, ['revision' => 30, 'status' => 'completed']));
        $stale = $this->send(self::call('c', 1, ['revision' => 20, 'status' => 'ringing']))['c-1'];
        self::assertSame(['stale', 30], [$stale['result'], $stale['revision']]);
        $this->send(self::call('c', 1, ['revision' => 40, 'status' => 'missed']));
        self::assertSame('missed', $this->stored($stale)['call_status']);
        self::assertCount(2, $this->store->saves);
    }

    public function testAYoungerTermOverwritesAnyRevisionOfAnOlderOneAndNeverTheOtherWay(): void
    {
        $this->send(self::call('c', 1, ['term' => 1, 'revision' => 50, 'status' => 'talking']));
        $taken = $this->send(self::call('c', 1, ['term' => 2, 'revision' => 3, 'status' => 'completed']))['c-1'];
        self::assertSame(['saved', 3], [$taken['result'], $taken['revision']]);
        $late = $this->send(self::call('c', 1, ['term' => 1, 'revision' => 60, 'status' => 'missed']))['c-1'];
        self::assertSame('retry', $late['result']);
        self::assertSame('another connector has taken over (term 2, this is 1)', $late['reason']);
        $alone = $this->send(self::call('c', 1, ['revision' => 70, 'status' => 'missed']))['c-1'];
        self::assertSame('retry', $alone['result'], 'without a term is older than any');
        self::assertSame('completed', $this->stored($taken)['call_status']);
        self::assertSame('unchanged', $this->send(self::call('c', 1, ['term' => 2, 'revision' => 3]))['c-1']['result']);
        self::assertSame('rejected', $this->send(self::call('c', 1, ['term' => 'x', 'revision' => 80]))['c-1']['result']);
    }

    public function testAnIdTwiceInABatch(): void
    {
        $answer = ($this->records())(['records' => [
            self::call('c', 1, ['revision' => 1]), self::call('c', 1, ['revision' => 2]), self::call('c', 1, ['revision' => 1]),
        ]], $this->connector);
        self::assertSame(['saved', 'saved', 'stale'], array_column($answer['results'], 'result'));
        self::assertCount(1, array_unique(array_column($answer['results'], 'crm_id')));
    }

    public function testOneBadRecordSpoilsNothing(): void
    {
        $results = $this->send(
            self::call('a'),
            self::call('b', 1, ['status' => 'nonsense']),
            ['no' => 'record'],
            self::call('c')
        );
        self::assertSame('saved', $results['a-1']['result']);
        self::assertSame('rejected', $results['b-1']['result']);
        self::assertStringContainsString('status', $results['b-1']['reason']);
        self::assertSame('rejected', $results['']['result']);
        self::assertSame('saved', $results['c-1']['result']);
    }

    public function testAnExceptionInVtigerRejectsThatRecordAloneAndLeavesNothing(): void
    {
        $this->store->before = static function (array $fields): void {
            if ($fields['call_extension'] === '666') {
                throw new RuntimeException('workflow broke');
            }
        };
        $results = $this->send(self::call('a', 1, ['extension' => '666']), self::call('b'));
        self::assertSame('rejected', $results['a-1']['result']);
        self::assertStringContainsString('workflow broke', $results['a-1']['reason']);
        self::assertSame('saved', $results['b-1']['result']);
        $this->store->before = null;
        self::assertSame('saved', $this->send(self::call('a', 1, ['extension' => '666']))['a-1']['result']);
    }

    public function testADatabaseThatIsAwayIsNoFaultOfTheRecord(): void
    {
        $this->store->before = static function (): void {
            throw new DbFault('gone away');
        };
        self::assertSame('retry', $this->send(self::call())['msk-1.1-1']['result']);
    }

    public function testTooManyRecordsAreRefusedWhole(): void
    {
        $this->expectException(Refusal::class);
        ($this->records())(['records' => array_fill(0, 101, [])], $this->connector);
    }

    public function testRecordsHasToBeAList(): void
    {
        $this->expectException(Refusal::class);
        ($this->records())(['records' => ['a' => 1]], $this->connector);
    }

    public function testTwoConnectorsMayUseTheSameIds(): void
    {
        $first = $this->send(self::call())['msk-1.1-1'];
        $this->connector = $this->connectors()->add('Other', 'other', '');
        $second = $this->send(self::call())['msk-1.1-1'];
        self::assertSame('saved', $second['result']);
        self::assertNotSame($first['crm_id'], $second['crm_id']);
    }

    public function testAfterAStartInMidCallTheKnownRecordGoesOn(): void
    {
        $known = $this->send(self::call('c', 1, ['extension' => '101', 'status' => 'in_progress', 'answered_at' => '2026-11-22T10:00:05.000Z']))['c-1'];
        $late = self::call('c', 1001, ['extension' => '101', 'revision' => 2000, 'started_at' => '2026-11-22T10:01:00.000Z']);
        $result = $this->send($late)['c-1001'];
        self::assertSame(['saved', $known['crm_id']], [$result['result'], $result['crm_id']]);
        $stored = $this->stored($result);
        self::assertSame(['c-1', 'completed'], [$stored['call_id'], $stored['call_status']]);
        self::assertSame(['2026-11-22 10:00:00', '2026-11-22 10:00:05'], [$stored['call_started'], $stored['call_answered']]);
        $other = $this->send(self::call('c', 1002, ['extension' => '102']))['c-1002'];
        self::assertNotSame($known['crm_id'], $other['crm_id']);
    }

    public function testACallDeletedInVtigerStaysDeleted(): void
    {
        $result = $this->send(self::call())['msk-1.1-1'];
        self::$db->execute('UPDATE vtiger_crmentity SET deleted = 1 WHERE crmid = ?', [$result['crm_id']]);
        $again = $this->send(self::call('msk-1.1', 1, ['revision' => 2000]))['msk-1.1-1'];
        self::assertSame('saved', $again['result']);
        self::assertNull($this->store->stored((int) $result['crm_id']));
        self::assertCount(1, $this->store->saves);
    }

    public function testACallThatAnotherRecordOrCrmHasTakenOverIsDroppedAndMayComeBack(): void
    {
        $ringing = ['status' => 'ringing', 'live' => true, 'extension' => '101'];
        $first = $this->send($ringing + self::call())['msk-1.1-1'];
        $taken = ['revision' => 1001, 'status' => 'cancelled', 'lead' => false, 'superseded_by' => 'msk-1.1-1'];
        self::assertSame('saved', $this->send($taken + self::call())['msk-1.1-1']['result']);
        self::assertNull($this->store->stored((int) $first['crm_id']));
        self::assertSame([], self::$db->rows("SELECT crmid FROM vtiger_calls_ringing"));
        self::assertSame('unchanged', $this->send($taken + self::call())['msk-1.1-1']['result']);
        $back = $this->send(['revision' => 1002] + self::call())['msk-1.1-1'];
        self::assertSame('saved', $back['result']);
        self::assertNotSame($first['crm_id'], $back['crm_id']);
        $unheard = $this->send(['id' => 'msk-2.2-1', 'superseded_by' => 'msk-2.2-1'] + self::call())['msk-2.2-1'];
        self::assertSame(['saved', false], [$unheard['result'], isset($unheard['crm_id'])], 'never heard of');
    }

    public function testUserByPbxAndExtension(): void
    {
        $this->user(5, '101');
        $this->user(6, 'spb/101');
        $this->user(7, '102', '', false);
        $msk = $this->stored($this->send(self::call('a', 1, ['extension' => '101']))['a-1']);
        $spb = $this->stored($this->send(self::call('b', 1, ['extension' => '101', 'pbx' => 'spb']))['b-1']);
        $gone = $this->stored($this->send(self::call('c', 1, ['extension' => '102']))['c-1']);
        $nobody = $this->stored($this->send(self::call('d', 1, ['extension' => '199']))['d-1']);
        self::assertSame(['5', '5'], [$msk['crm_user'], $msk['assigned_user_id']]);
        self::assertSame(['6', '6'], [$spb['crm_user'], $spb['assigned_user_id']]);
        self::assertSame(['', '90'], [$gone['crm_user'], $gone['assigned_user_id']], 'who may not log in any more has no calls');
        self::assertSame(['', '90'], [$nobody['crm_user'], $nobody['assigned_user_id']]);
    }

    public function testAConnectorOfSeveralExchangesWritesTheExchangeBeforeItsExtensions(): void
    {
        $wire = ['pbx' => 'spb', 'extension' => 'spb/101', 'from' => 'spb/102', 'to' => 'msk/101', 'transferred_to' => 'spb/103'];
        $call = CallRecord::fromWire($wire + self::call());
        self::assertSame(['101', '102', '103'], array_map([$call, 'text'], ['extension', 'from', 'transferred_to']));
        self::assertSame('msk/101', $call->text('to'), 'the extension of another exchange keeps its name');
    }

    public function testTodaysExtensionBeatsTheCardAndLaterMovesChangeNothing(): void
    {
        $this->user(5, '101');
        $this->user(6, '102');
        $this->clock->at = 1795341000;
        $this->seats()->take(6, 'msk', '101', 1795400000);
        $call = self::call('a', 1, ['extension' => '101', 'status' => 'ringing']);
        $result = $this->send($call)['a-1'];
        self::assertSame('6', $this->stored($result)['crm_user']);
        $this->clock->at = 1795341900;
        $this->seats()->take(5, 'msk', '101', 1795400000);
        $this->send(['status' => 'completed', 'revision' => 1001] + $call);
        self::assertSame('6', $this->stored($result)['crm_user'], 'he sat there when it rang');
        $late = self::call('b', 1, ['extension' => '101', 'started_at' => '2026-11-22T09:55:00.000Z']);
        self::assertSame('6', $this->stored($this->send($late)['b-1'])['crm_user'], 'told of later, his all the same');
    }

    public function testAnOutsidePhoneBelongsToWhoseMobileItIs(): void
    {
        $this->user(5, '101', '+7 (903) 111-22-33');
        $stored = $this->stored($this->send(self::call('a', 1, ['phone' => '89031112233']))['a-1']);
        self::assertSame('5', $stored['crm_user']);
        $other = $this->stored($this->send(self::call('b', 1, ['phone' => '89031112234']))['b-1']);
        self::assertSame('', $other['crm_user']);
    }

    public function testOwnerOfACallNobodyTook(): void
    {
        $this->user(5);
        $this->user(8, '', '', false);
        $this->contact(10, 5, '89161234567');
        $this->contact(11, 8, '89161234568');
        $this->contact(12, 90, '89161234569');
        $missed = ['status' => 'missed', 'queue' => 'sales', 'did' => '+74951234531'];
        $ownerOf = function (string $id, array $more) use ($missed): string {
            return $this->stored($this->send(self::call($id, 1, $more + $missed))["$id-1"])['assigned_user_id'];
        };
        self::assertSame('5', $ownerOf('a', ['client_number' => '+79161234567']), 'the client\'s manager');
        self::assertSame('90', $ownerOf('b', ['client_number' => '+79161234568']), 'a manager who left is none');
        self::$db->execute("INSERT INTO vtiger_groups (groupid, groupname) VALUES (20, 'Sales'), (21, 'Line'), (22, 'Msk')");
        self::$db->execute("INSERT INTO vtiger_calls_owner (kind, value, ownerid) VALUES ('pbx', 'msk', 22)");
        self::assertSame('22', $ownerOf('c', ['client_number' => '+79161234568']));
        self::$db->execute("INSERT INTO vtiger_calls_owner (kind, value, ownerid) VALUES ('did', '+74951234531', 21)");
        self::assertSame('21', $ownerOf('d', []));
        self::$db->execute("INSERT INTO vtiger_calls_owner (kind, value, ownerid) VALUES ('queue', 'sales', 20)");
        self::assertSame('20', $ownerOf('e', []));
        self::assertSame('20', $ownerOf('f', ['client_number' => '+79161234569']), 'a group is no manager');
        self::assertSame('20', $ownerOf('g', ['direction' => 'outgoing', 'status' => 'failed', 'client_number' => '+79161234567']), 'only for incoming');
        self::$db->execute("UPDATE vtiger_calls_owner SET ownerid = 8 WHERE kind = 'queue'");
        self::assertSame('21', $ownerOf('h', []), 'a set owner who left is skipped');
        self::$db->execute('DELETE FROM vtiger_calls_owner');
        self::assertSame('90', $ownerOf('i', []));
    }

    public function testAnOwnerSetByHandStays(): void
    {
        $this->user(5, '101');
        $this->user(6, '102');
        $result = $this->send(self::call('a', 1, ['status' => 'ringing']))['a-1'];
        self::assertSame('90', $this->stored($result)['assigned_user_id']);
        $this->send(self::call('a', 1, ['extension' => '101', 'revision' => 1001]));
        self::assertSame('5', $this->stored($result)['assigned_user_id'], 'ours to change');
        self::$db->execute('UPDATE vtiger_crmentity SET smownerid = 6 WHERE crmid = ?', [$result['crm_id']]);
        $this->send(self::call('a', 1, ['extension' => '101', 'revision' => 1002, 'talk_seconds' => 5]));
        self::assertSame('6', $this->stored($result)['assigned_user_id'], 'people\'s word stays');
    }

    public function testInternalCallsHaveNoClient(): void
    {
        $this->user(6, '102');
        $this->contact(10, 5, '101');
        $stored = $this->stored($this->send(self::call('a', 1, ['direction' => 'internal', 'from' => '101', 'to' => '102', 'extension' => '102']))['a-1']);
        self::assertSame(['', '', '6'], [$stored['call_client'], $stored['main_client'], $stored['crm_user']]);
    }

    public function testTheClientIsFoundByNumberAndStays(): void
    {
        $this->contact(10, 5, '8 (916) 123-45-67');
        $result = $this->send(self::call('a', 1, ['client_number' => '9161234567', 'client_number_normalized' => '+79161234567']))['a-1'];
        self::assertSame(['10', '10'], [$this->stored($result)['call_client'], $this->stored($result)['main_client']]);
        $other = $this->send(self::call('a', 2, ['client_number_normalized' => '+79161234567', 'lead' => false]))['a-2'];
        self::assertSame(['10', ''], [$this->stored($other)['call_client'], $this->stored($other)['main_client']], 'tabs count main records');
    }

    public function testAnonymousCallersAreNobody(): void
    {
        $this->contact(10, 5, '89161234567');
        self::assertSame('', $this->stored($this->send(self::call('a'))['a-1'])['call_client']);
    }

    public function testAnUnknownCallerBecomesAClientOnlyWhereThatIsSet(): void
    {
        $from = ['client_number' => '89161234567', 'client_number_normalized' => '+79161234567', 'did' => '+74951234531'];
        self::assertSame('', $this->stored($this->send(self::call('a', 1, $from))['a-1'])['call_client']);
        self::assertSame([], $this->maker->made);
        $this->settings()->set('create_client', 'Leads');
        // A new revision of a call of before makes none.
        self::assertSame('', $this->stored($this->send(self::call('a', 1, ['revision' => 2000] + $from))['a-1'])['call_client']);
        $batch = [self::call('b', 1, ['client_name' => 'Иван'] + $from), self::call('b', 2, ['lead' => false] + $from), self::call('c', 1, $from)];
        foreach ($this->send(...$batch) as $result) {
            self::assertSame('901', $this->stored($result)['call_client']);
        }
        self::assertSame([['Leads', 'Иван', '+79161234567', '+74951234531', self::DEFAULT_GROUP]], $this->maker->made);
    }

    public function testWhoIsNoUnknownCaller(): void
    {
        $this->settings()->set('create_client', 'Contacts');
        $this->user(5, '101', '+79031110102');
        $from = ['client_number' => '89161234567', 'client_number_normalized' => '+79161234567'];
        $employee = ['client_number' => '89031110102', 'client_number_normalized' => '+79031110102'];
        $short = ['client_number' => '112', 'client_number_normalized' => ''];
        $outgoing = ['direction' => 'outgoing'] + $from;
        $others = [self::call('a'), self::call('b', 2, ['lead' => false] + $from), self::call('c', 1, $employee), self::call('d', 1, $short), self::call('e', 1, $outgoing)];
        foreach ($this->send(...$others) as $result) {
            self::assertSame('', $this->stored($result)['call_client']);
        }
        self::assertSame([], $this->maker->made);
    }

    public function testACallIsKeptThoughItsClientCannotBeMade(): void
    {
        $this->settings()->set('create_client', 'Accounts');
        $this->maker->fault = new RuntimeException('a field is mandatory');
        $result = $this->send(self::call('a', 1, ['client_number' => '89161234567', 'client_number_normalized' => '+79161234567']))['a-1'];
        self::assertSame(['saved', ''], [$result['result'], $this->stored($result)['call_client']]);
    }

    public function testAClickFromATicketLinksTicketAndItsContact(): void
    {
        $this->contact(10, 5, '89161234567');
        $this->entity(30, 5, 'HelpDesk');
        self::$db->execute('INSERT INTO vtiger_troubletickets (ticketid, contact_id, parent_id) VALUES (30, 10, 0)');
        $call = self::call('a', 1, ['direction' => 'outgoing', 'click_to_call' => true, 'crm_record' => '30', 'client_number' => '84951111111']);
        $stored = $this->stored($this->send($call)['a-1']);
        self::assertSame(['10', '30', '30', '1'], [$stored['call_client'], $stored['call_ticket'], $stored['main_ticket'], $stored['click_to_call']]);
    }

    public function testAFollowUpClosedHereIsNotOpenedByAnOlderWord(): void
    {
        $missed = ['status' => 'missed', 'follow_up' => 'open'];
        $result = $this->send(self::call('a', 1, $missed))['a-1'];
        self::$db->execute("UPDATE vtiger_calls SET call_follow_up = 'closed' WHERE callsid = ?", [$result['crm_id']]);
        $this->send(self::call('a', 1, ['revision' => 1001, 'follow_up' => 'tried'] + $missed));
        self::assertSame('closed', $this->stored($result)['call_follow_up']);
        $this->send(self::call('a', 1, ['revision' => 1002, 'follow_up' => 'called_back'] + $missed));
        self::assertSame('called_back', $this->stored($result)['call_follow_up']);
    }

    public function testOnlyALiveRingingPhoneOfAUserMakesAPopup(): void
    {
        $this->user(5, '101');
        $this->contact(10, 5, '89161234567');
        $ring = ['status' => 'ringing', 'extension' => '101', 'client_number' => '89161234567', 'did' => '+7495', 'live' => true];
        $rows = static function (): array {
            return self::$db->rows('SELECT userid, name, client_id, did FROM vtiger_calls_ringing ORDER BY crmid');
        };
        $this->send(self::call('late', 1, ['live' => false] + $ring));
        $this->send(self::call('nobody', 1, ['extension' => '199'] + $ring));
        $this->send(self::call('click', 1, ['click_to_call' => true, 'direction' => 'outgoing'] + $ring));
        self::assertSame([], $rows());
        $this->send(self::call('now', 1, $ring));
        self::assertEquals([['userid' => 5, 'name' => 'Иван Петров10', 'client_id' => 10, 'did' => '+7495']], $rows());
        $this->send(self::call('now', 1, ['status' => 'no_answer', 'revision' => 1001] + $ring));
        self::assertSame([], $rows(), 'somebody else answered');
        $marks = array_column(self::$db->rows('SELECT call_conversation, told_late FROM vtiger_calls'), 'told_late', 'call_conversation');
        self::assertSame(['1', '0'], [$marks['late'], $marks['now']], 'what was told of later is marked');
    }

    public function testARecordingIsWhatTheConnectorSaysOfIt(): void
    {
        $state = function (array $recordings): array {
            static $nth = 0;
            $call = self::call('r' . ++$nth, 1, ['recordings' => $recordings]);
            $row = self::$db->rows('SELECT recording_link, recording_state FROM vtiger_calls WHERE callsid = ?', [
                $this->send($call)["r$nth-1"]['crm_id'],
            ])[0];
            return [$row['recording_link'], $row['recording_state']];
        };
        foreach (['recording', 'ready', 'deleted', 'unavailable'] as $word) {
            self::assertSame(['a', $word], $state([['id' => 'a', 'state' => $word]]));
        }
        self::assertSame(['a', 'ready'], $state([['id' => 'a', 'state' => 'some day']]), 'unknown words may come');
        self::assertSame(['a', 'ready'], $state([['id' => 'a', 'state' => 'ready'], ['id' => 'b', 'state' => 'recording']]));
        self::assertSame(['b', 'unavailable'], $state([['id' => 'a', 'state' => 'deleted'], ['id' => 'b', 'state' => 'unavailable']]));
        self::assertSame([null, 'none'], $state([['id' => 'a', 'state' => 'empty']]));
    }

    private function sounds(): Sounds
    {
        return new Sounds(self::$db, $this->clock, sys_get_temp_dir() . '/calls-test-sounds-' . getmypid());
    }

    public function testASoundComesInPiecesEachOnce(): void
    {
        $fields = ['recordings' => [['id' => 'msk-1.1-r1', 'file' => 'a.wav']], 'client_number' => '+79161234567', 'client_number_normalized' => '+79161234567'];
        $call = $this->send($fields + self::call())['msk-1.1-1'];
        self::assertSame('saved', $call['result']);
        $operation = new Recording(new Claims(self::$db), $this->sounds());
        $sound = random_bytes(1500) . '<?php echo 1; ?>' . random_bytes(500);
        $piece = function (int $offset, int $length, array $more = []) use ($operation, $sound): array {
            return $operation($more + [
                'call' => 'msk-1.1-1', 'recording' => 'msk-1.1-r1', 'size' => strlen($sound), 'offset' => $offset,
                'type' => 'audio/wav', 'data' => base64_encode(substr($sound, $offset, $length)),
            ], $this->connector);
        };
        self::assertSame(['result' => 'saved', 'have' => 0], $piece(1000, 1016), 'there is a hole before it');
        self::assertSame(1000, $piece(0, 1000)['have']);
        self::assertSame(1000, $piece(0, 1000)['have'], 'twice is once');
        self::assertNull($this->sounds()->whole($this->connector->id, 'msk-1.1-r1'), 'half of it');
        self::assertSame(strlen($sound), $piece(1000, 1016)['have']);
        $whole = $this->sounds()->whole($this->connector->id, 'msk-1.1-r1');
        self::assertSame($sound, substr((string) file_get_contents($whole['path']), $whole['skip']));
        exec(PHP_BINARY . ' ' . escapeshellarg($whole['path']), $said, $status);
        self::assertSame([[], 0], [$said, $status], 'whoever asks a web server for the file gets nothing of it');
        self::assertNull($this->sounds()->whole($this->connector->id + 1, 'msk-1.1-r1'), 'another connector has its own');
        self::assertSame('retry', $piece(0, 1000, ['call' => 'msk-9.9-1'])['result']);
        self::assertSame('rejected', $piece(0, 1000, ['size' => Sounds::SOUND_BYTES_MAX + 1])['result']);
        foreach ([['recording' => '../x'], ['type' => 'text/html'], ['data' => '!'], ['offset' => -1]] as $bad) {
            try {
                $piece(0, 10, $bad);
                self::fail('taken: ' . json_encode($bad));
            } catch (Refusal $refusal) {
                self::assertSame(400, $refusal->status);
            }
        }
        $forget = new Forget(self::$db, $this->phones(), $this->sounds());
        $forget(['number' => '+79161234567'], $this->connector);
        self::assertFileDoesNotExist($whole['path']);
        self::assertSame('rejected', $piece(0, 1000)['result'], 'who is forgotten is not heard');
    }

    public function testForgetRemovesEverythingAndRemembersTheIds(): void
    {
        $mine = ['client_number' => '89161234567', 'client_number_normalized' => '+79161234567', 'recordings' => [['id' => 'r1']]];
        $result = $this->send(self::call('a', 1, $mine + ['timeline' => [['at' => '2026-11-22T10:00:00.000Z', 'step' => 'enter']]]))['a-1'];
        $this->send(self::call('b', 1, ['client_number' => '89160000000', 'client_number_normalized' => '+79160000000']));
        $id = (int) $result['crm_id'];
        self::$db->execute('INSERT INTO vtiger_modtracker_basic (id, crmid, module) VALUES (1, ?, ?)', [$id, 'Calls']);
        self::$db->execute('INSERT INTO vtiger_modtracker_detail (id, fieldname) VALUES (1, ?)', ['client_number']);
        $this->entity(70, 5, 'ModComments');
        self::$db->execute('INSERT INTO vtiger_modcomments (modcommentsid, related_to) VALUES (70, ?)', [$id]);
        $forget = new Forget(self::$db, $this->phones(), $this->sounds());
        self::assertSame(['number' => '+79161234567', 'calls' => 1, 'recordings' => 1], $forget(['number' => '8 916 123-45-67'], $this->connector));
        foreach (['vtiger_calls' => 'callsid', 'vtiger_crmentity' => 'crmid', 'vtiger_calls_timeline' => 'crmid', 'vtiger_modtracker_basic' => 'crmid'] as $table => $key) {
            self::assertSame([], self::$db->rows("SELECT 1 FROM $table WHERE $key = ?", [$id]), $table);
        }
        self::assertSame([], self::$db->rows('SELECT 1 FROM vtiger_modtracker_detail'));
        self::assertSame([], self::$db->rows('SELECT 1 FROM vtiger_modcomments'));
        self::assertSame([], self::$db->rows('SELECT 1 FROM vtiger_crmentity WHERE crmid = 70'));
        self::assertCount(1, self::$db->rows('SELECT 1 FROM vtiger_calls'));
        self::assertSame('unchanged', $this->send(self::call('a', 1, $mine + ['revision' => 5000]))['a-1']['result']);
        $this->expectException(Refusal::class);
        $forget(['number' => ''], $this->connector);
    }
}
